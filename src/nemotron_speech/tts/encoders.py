"""PCM16 mono to what a listener asked for, piece by piece: raw, WAV, or compressed by FFmpeg's codecs (PyAV).

Nothing here waits; compressing a piece takes up to a few milliseconds, so servers do it in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import BinaryIO, Protocol

from nemotron_speech.audio import WAV_HEADER_BYTES, RateChange, wav_header
from nemotron_speech.errors import require


class Encoder(Protocol):
    """One stream of audio in one format."""

    sample_rate: int
    """Output sample rate in Hz."""
    content_type: str
    compresses: bool
    """True if encoding takes time worth a thread."""

    def feed(self, pcm: bytes) -> bytes:
        """Return what is ready of the format; it may be nothing."""
        ...

    def finish(self) -> bytes:
        """Return the rest."""
        ...


@dataclass(frozen=True, slots=True)
class _Codec:
    """One of FFmpeg's formats."""

    container: str
    codec: str
    content_type: str
    streamed: dict[str, str] = field(default_factory=dict)
    """Options of the container where nothing can be written into its beginning afterwards."""
    options: dict[str, str] = field(default_factory=dict)
    """Options of the codec."""


_COMPRESSED = {
    "mp3": _Codec("mp3", "libmp3lame", "audio/mpeg", {"write_xing": "0"}),
    "opus": _Codec("ogg", "libopus", "audio/ogg; codecs=opus", {"page_duration": "20000"}),
    "aac": _Codec("adts", "aac", "audio/aac"),
    # Short frames: players that lose the first frame of a FLAC lose little.
    "flac": _Codec("flac", "flac", "audio/flac", options={"frame_size": "576"}),
}
STATES_LENGTH = frozenset({"wav", "flac"})
"""Formats that begin with their length, and come whole unless a client asks for them as they are made."""
NEVER_STREAMED = frozenset({"flac"})
"""Formats of which common readers (libsndfile) read nothing where that length is missing."""


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that can be made here; the first is the usual one."""
    return ("wav", "pcm", *(name for name, codec in _COMPRESSED.items() if _available(codec.codec)))


def check_format(response_format: str) -> None:
    """Raise BadRequest, with those that can, for a format that cannot be made here."""
    require("response_format", response_format, formats())


def encoder(
    response_format: str, rate: int, wanted_rate: int | None = None, file: BinaryIO | None = None
) -> Encoder:
    """Return a new encoder of audio at `rate`. Raises BadRequest for a format that cannot be made here.

    Args:
        wanted_rate: The rate to change to. Compressed formats take the nearest above that they know.
        file: Gets all of it, with its length stated where the format does that; `feed` and `finish` then
            return nothing. Without one no length is written, and nothing waits for a full buffer.
    """
    check_format(response_format)
    if codec := _COMPRESSED.get(response_format):
        return _Compressed(codec, rate, wanted_rate or rate, file)
    if file is not None:
        return _PlainFile(rate, wanted_rate or rate, file, with_header=response_format == "wav")
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


class _PlainFile(_Plain):
    """Plain PCM or WAV in a file, whose header is written when the length is known."""

    def __init__(self, rate: int, wanted_rate: int, file: BinaryIO, *, with_header: bool) -> None:
        super().__init__(rate, wanted_rate, with_header=with_header)
        self._file = file
        self._with_header = with_header

    def feed(self, pcm: bytes) -> bytes:
        self._file.write(super().feed(pcm))
        return b""

    def finish(self) -> bytes:
        self._file.write(super().finish())
        if self._with_header:
            size = self._file.tell()
            self._file.seek(0)
            self._file.write(wav_header(self.sample_rate, size - WAV_HEADER_BYTES))
            self._file.seek(size)
        return b""


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

    def __init__(self, codec: _Codec, rate: int, wanted_rate: int, file: BinaryIO | None) -> None:
        import av

        self.content_type = codec.content_type
        self._sink = _Sink()
        options = {"flush_packets": "1", **codec.streamed} if file is None else {}
        self._container = av.open(
            self._sink if file is None else file, "w", format=codec.container, container_options=options
        )
        rates = av.Codec(codec.codec, "w").audio_rates
        self.sample_rate = _nearest(wanted_rate, rates or [wanted_rate])
        stream = self._container.add_stream(codec.codec, rate=self.sample_rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.options = codec.options
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
