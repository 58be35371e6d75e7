"""PCM16 mono to what a listener asked for, piece by piece: raw, WAV, or compressed by FFmpeg's codecs (PyAV).

Nothing here waits; compressing a piece takes up to a few milliseconds, so servers do it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from nemotron_speech.audio import RateChange, wav_header
from nemotron_speech.errors import BadRequest


class Encoder(Protocol):
    """One stream of audio in one format."""

    sample_rate: int
    """Of what comes out."""
    content_type: str
    compresses: bool
    """Whether it takes time worth a thread."""

    def feed(self, pcm: bytes) -> bytes:
        """Return what is ready of the format; it may be nothing."""
        ...

    def finish(self) -> bytes:
        """Return the rest."""
        ...


@dataclass(frozen=True, slots=True)
class _Codec:
    """One of FFmpeg's formats, streamed: no length is written, and nothing waits for a full buffer."""

    container: str
    codec: str
    content_type: str
    options: dict[str, str] = field(default_factory=dict)


_COMPRESSED = {
    "mp3": _Codec("mp3", "libmp3lame", "audio/mpeg", {"write_xing": "0"}),
    "opus": _Codec("ogg", "libopus", "audio/ogg; codecs=opus", {"page_duration": "20000"}),
    "aac": _Codec("adts", "aac", "audio/aac"),
    "flac": _Codec("flac", "flac", "audio/flac"),
}


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that can be made here; the first is the usual one."""
    return ("wav", "pcm", *(name for name, codec in _COMPRESSED.items() if _available(codec.codec)))


def encoder(response_format: str, rate: int, wanted_rate: int | None = None) -> Encoder:
    """Return a new encoder of audio at `rate`. Raises BadRequest for a format that cannot be made here.

    Args:
        wanted_rate: The rate to change to. Compressed formats take the nearest above that they know.
    """
    if response_format not in formats():
        raise BadRequest(f"unknown response_format {response_format[:40]!r}; allowed: {', '.join(formats())}")
    if codec := _COMPRESSED.get(response_format):
        return _Compressed(codec, rate, wanted_rate or rate)
    return _Plain(rate, wanted_rate or rate, with_header=response_format == "wav")


class _Plain:
    """Samples as they are, with a WAV header before them or without."""

    compresses = False

    def __init__(self, rate: int, wanted_rate: int, *, with_header: bool) -> None:
        self.sample_rate = wanted_rate
        self.content_type = "audio/wav" if with_header else "audio/pcm"
        self._rate = RateChange(rate, wanted_rate)
        self._header = wav_header(wanted_rate) if with_header else b""

    def feed(self, pcm: bytes) -> bytes:
        header, self._header = self._header, b""
        return header + self._rate.feed(pcm)

    def finish(self) -> bytes:
        header, self._header = self._header, b""
        return header + self._rate.finish()


class _Sink:
    """A file that is only written to, from the beginning to the end."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _Compressed:
    """One of FFmpeg's codecs; a rate the codec does not know is changed on the way in."""

    compresses = True

    def __init__(self, codec: _Codec, rate: int, wanted_rate: int) -> None:
        import av

        self.content_type = codec.content_type
        self._sink = _Sink()
        options = {"flush_packets": "1", **codec.options}
        self._container = av.open(self._sink, "w", format=codec.container, container_options=options)
        rates = av.Codec(codec.codec, "w").audio_rates
        self.sample_rate = _nearest(wanted_rate, rates or [wanted_rate])
        stream = self._container.add_stream(codec.codec, rate=self.sample_rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        self._stream = stream
        self._rate = rate
        self._samples = 0

    def feed(self, pcm: bytes) -> bytes:
        import av
        import numpy as np

        if pcm:
            frame = av.AudioFrame.from_ndarray(
                np.frombuffer(pcm, "<i2")[None, :], format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = self._rate, self._samples
            self._samples += frame.samples
            self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        if self._samples:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


def _nearest(wanted: int, rates: list[int]) -> int:
    above = [rate for rate in rates if rate >= wanted]
    return min(above) if above else max(rates)


def _available(codec: str) -> bool:
    try:
        import av

        av.Codec(codec, "w")
    except Exception:  # noqa: BLE001  no PyAV, or a build without the codec
        return False
    return True
