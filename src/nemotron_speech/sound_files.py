"""Sound files of any common kind, decoded to mono PCM16 by FFmpeg (PyAV).

Read are WAV of every width and law (also with a data size of 0), FLAC, Ogg, Opus, MP3, AAC, M4A/MP4, WebM,
AMR, GSM, AIFF, AU, CAF and WMA. Playlists and other formats that name further files are not: a file must
not make this process open another one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from nemotron_speech.audio import Clip, rms, to_int16
from nemotron_speech.errors import BadRequest

if TYPE_CHECKING:
    import av.container

Channels = npt.NDArray[np.float32]
"""Samples [channels, n], full scale at 1."""

FORMATS = "wav,w64,flac,ogg,mp3,aac,mov,matroska,webm,amr,amrnb,amrwb,gsm,aiff,au,caf,asf"
"""FFmpeg's demuxers that hold the sound in the file itself."""
RATES = (2000, 384_000)
"""Least and greatest sample rate, Hz: beyond them a header is wrong."""
MOST_SAMPLES = 60_000_000
"""Decoded samples of all channels together: 62 minutes of mono at 16 kHz, 240 MB in memory."""
QUIET_MIX = 0.6
"""Level of the mean of all channels, as a share of the loudest's, below which the loudest is used alone."""
INT16_SCALE = 32768.0
SPEECH_RMS = 2300.0
"""Level that quiet recordings are raised to: -23 dB below full scale."""
MOST_GAIN = 200.0
"""46 dB: a recording at -60 dB is raised, the noise of an empty one stays below speech."""


def read(
    source: bytes | str | Path | BinaryIO, longest_s: float | None = None, most_rate: int | None = None
) -> Clip:
    """Read a sound file, mixed down to mono at its own rate.

    Opposite channels do not cancel each other: the loudest one is then taken alone. Floating-point samples
    in the scale of 16-bit integers are scaled.

    Args:
        source: The file, its content or its path.
        longest_s: Seconds that are read at most; a longer file is cut. Without it, a file of more than
            `MOST_SAMPLES` is refused.
        most_rate: Hz; a file with a higher rate is read at this one, so that more of it fits into memory.

    Raises BadRequest for what is not a sound file, holds no sound, or is too long.
    """
    import av.container
    from av.error import FFmpegError

    try:
        options = {"format_whitelist": FORMATS}
        with av.open(_opened(source), "r", options=options, metadata_errors="ignore") as file:
            if not file.streams.audio:
                raise BadRequest("the file holds no sound, only other tracks")
            rate = _checked_rate(file.streams.audio[0])
            rate = min(rate, most_rate or rate)
            channels = _gather(_decoded(file, rate), None if longest_s is None else round(longest_s * rate))
    except FFmpegError as error:
        raise BadRequest(
            f"not a sound file: {error.strerror}; give a WAV, FLAC, MP3, Ogg, M4A, WebM or AMR file"
        ) from None
    return Clip(to_int16(_mixed(_in_scale(channels))), rate)


def raised(clip: Clip) -> Clip:
    """Return a quiet recording at the level of speech; one that is loud enough is returned as it is."""
    level = rms(clip.samples)
    if not 0 < level < SPEECH_RMS:
        return clip
    peak = float(np.abs(clip.samples.astype(np.int32)).max())
    gain = min(SPEECH_RMS / level, 0.9 * 32767 / peak, MOST_GAIN)
    return Clip((clip.samples * max(gain, 1.0)).astype(np.int16), clip.sample_rate)


def _opened(source: bytes | str | Path | BinaryIO) -> BinaryIO:
    """Return the content as a file object: given a name, FFmpeg would take it for an address."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if isinstance(source, str | Path):
        return io.BytesIO(Path(source).read_bytes())
    return source


def _checked_rate(track: av.AudioStream) -> int:
    if track.codec_context is None:
        raise BadRequest("not a sound file that can be read: its encoding is not known")
    (least, most), rate = RATES, track.codec_context.sample_rate
    if not least <= rate <= most:
        raise BadRequest(f"the file states a sample rate of {rate} Hz; allowed: {least} to {most} Hz")
    return rate


def _decoded(file: av.container.InputContainer, rate: int) -> Iterator[Channels]:
    """Decode the first sound track block by block, at a rate; damage ends it, what came before is kept."""
    import av.container
    from av.error import FFmpegError

    as_floats = av.AudioResampler(format="fltp", rate=rate)
    begun = False
    try:
        for frame in file.decode(file.streams.audio[0]):
            for block in as_floats.resample(frame):
                begun = True
                yield block.to_ndarray().astype(np.float32, copy=False)
        for block in as_floats.resample(None) if begun else ():
            yield block.to_ndarray().astype(np.float32, copy=False)
    except FFmpegError:
        if not begun:
            raise


def _gather(blocks: Iterator[Channels], most: int | None) -> Channels:
    """Join blocks, cut at `most` samples of a channel. Raises BadRequest where that is unbounded or empty."""
    kept, length = [], 0
    for block in blocks:
        if kept and len(block) != len(kept[0]):
            break  # the track changes its channels half-way: what follows is another recording
        kept.append(block)
        length += block.shape[1]
        if most is not None and length >= most:
            break
        if most is None and length * len(block) > MOST_SAMPLES:
            raise BadRequest(
                f"the recording is too long: more than {MOST_SAMPLES:,} samples; give a part of it"
            )
    if not length:
        raise BadRequest("the sound file holds no audio")
    return np.nan_to_num(np.concatenate(kept, axis=1)[:, :most], nan=0.0, posinf=0.0, neginf=0.0)


def _in_scale(channels: Channels) -> Channels:
    """Return samples at a full scale of 1, also where a float file has the values of integers."""
    if _level(channels) <= 1.0:
        return channels
    return channels / max(INT16_SCALE, float(np.abs(channels).max()))


def _mixed(channels: Channels) -> npt.NDArray[np.float32]:
    """Mix down to mono: the mean, or the loudest channel where the others silence it."""
    mean = channels.mean(axis=0)
    levels = [_level(channel) for channel in channels]
    loudest = int(np.argmax(levels))
    return channels[loudest] if _level(mean) < QUIET_MIX * levels[loudest] else mean


def _level(samples: Channels) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
