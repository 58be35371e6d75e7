"""Recordings of phones, browsers, recorders and broken programs: the same sound, or one clear line."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from nemotron_speech import audio, sound_files
from nemotron_speech.audio import Clip, Samples, rms
from nemotron_speech.cli import talk
from nemotron_speech.errors import BadRequest

RATE = 16000
SECONDS = 1.0
TONE_HZ = 440.0


def tone(rate: int = RATE, level: float = 0.5) -> np.ndarray:
    """Return a second of a tone, -1 to 1."""
    return level * np.sin(2 * np.pi * TONE_HZ * np.arange(int(rate * SECONDS)) / rate)


def pitch(clip: Clip) -> float:
    """Return the strongest frequency of a clip, Hz."""
    spectrum = np.abs(np.fft.rfft(clip.samples * np.hanning(len(clip.samples))))
    return float(np.argmax(spectrum) * clip.sample_rate / len(clip.samples))


def assert_is_the_tone(clip: Clip) -> None:
    assert clip.seconds == pytest.approx(SECONDS, abs=0.12)
    assert pitch(clip) == pytest.approx(TONE_HZ, abs=5)
    assert rms(clip.samples) > 2000


# ------------------------------------------------------------------------------- what encoders write

ENCODINGS: dict[str, tuple[str, str, int, str]] = {
    "wav, 8 bits": ("wav", "pcm_u8", 16000, "u8"),
    "wav, 16 bits": ("wav", "pcm_s16le", 44100, "s16"),
    "wav, 24 bits": ("wav", "pcm_s24le", 96000, "s32"),
    "wav, 32 bits": ("wav", "pcm_s32le", 48000, "s32"),
    "wav, float": ("wav", "pcm_f32le", 16000, "flt"),
    "wav, double": ("wav", "pcm_f64le", 16000, "dbl"),
    "wav, A-law of telephones": ("wav", "pcm_alaw", 8000, "s16"),
    "wav, mu-law of telephones": ("wav", "pcm_mulaw", 8000, "s16"),
    "wav, IMA ADPCM": ("wav", "adpcm_ima_wav", 16000, "s16p"),
    "w64": ("w64", "pcm_s16le", 16000, "s16"),
    "aiff": ("aiff", "pcm_s16be", 44100, "s16"),
    "au": ("au", "pcm_s16be", 8000, "s16"),
    "caf": ("caf", "pcm_s16be", 44100, "s16"),
    "flac": ("flac", "flac", 44100, "s16"),
    "mp3": ("mp3", "libmp3lame", 44100, "s16p"),
    "ogg opus": ("ogg", "libopus", 48000, "s16"),
    "webm of a browser": ("webm", "libopus", 48000, "s16"),
    "m4a of a phone": ("mp4", "aac", 44100, "fltp"),
    "mov": ("mov", "aac", 48000, "fltp"),
    "aac": ("adts", "aac", 48000, "fltp"),
    "mkv": ("matroska", "pcm_s16le", 48000, "s16"),
}


def encoded(kind: str, channels: int = 1) -> bytes:
    container, codec, rate, form = ENCODINGS[kind]
    file = io.BytesIO()
    layout = "mono" if channels == 1 else "stereo"
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate, format=form, layout=layout)
        samples = np.repeat((tone(rate) * 32767).astype(np.int16), channels)[None, :]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(form, layout, rate, frame_size=stream.codec_context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(piece))
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", ENCODINGS)
def test_every_common_encoding_is_read(kind: str, channels: int) -> None:
    assert_is_the_tone(sound_files.read(encoded(kind, channels)))


def test_ogg_vorbis_is_read() -> None:
    file = io.BytesIO()
    soundfile.write(file, tone(44100), 44100, format="OGG", subtype="VORBIS")
    assert_is_the_tone(sound_files.read(file.getvalue()))


# -------------------------------------------------------------------------- headers written by hand

PCM, FLOAT, GSM = 1, 3, 49


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    return (
        name + struct.pack("<I", len(content) if size is None else size) + content + bytes(len(content) % 2)
    )


def form(kind: int, rate: int, bits: int, channels: int = 1) -> bytes:
    align = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, rate * align, align, bits))


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content) if size is None else size) + content


def words(values: np.ndarray) -> bytes:
    return (values * 32767).astype("<i2").tobytes()


def stereo(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.stack([left, right], axis=1).ravel()


SPEECH = words(tone())
F16 = form(PCM, RATE, 16)
with_nan = tone().astype("<f4")
with_nan[100:110], with_nan[500] = np.nan, np.inf

HEADERS: dict[str, bytes] = {
    "data of size 0, of a recorder that was cut off": riff(F16, chunk(b"data", SPEECH, 0)),
    "both sizes 0, of a pipe": riff(F16, chunk(b"data", SPEECH, 0), size=0),
    "sizes unknown, of a stream": riff(F16, chunk(b"data", SPEECH, 0xFFFFFFFF), size=0xFFFFFFFF),
    "data longer than the file": riff(F16, chunk(b"data", SPEECH, 10 * len(SPEECH))),
    "LIST before fmt": riff(chunk(b"LIST", b"INFOISFT\4\0\0\0abc\0"), F16, chunk(b"data", SPEECH)),
    "a chunk that nobody knows": riff(F16, chunk(b"what", b"odd"), chunk(b"data", SPEECH)),
    "something behind the sound": riff(F16, chunk(b"data", SPEECH), chunk(b"LIST", b"INFO")),
    "an odd number of bytes": riff(F16, chunk(b"data", SPEECH + b"\1")),
    "opposite channels": riff(form(PCM, RATE, 16, 2), chunk(b"data", words(stereo(tone(), -tone())))),
    "one silent channel": riff(form(PCM, RATE, 16, 2), chunk(b"data", words(stereo(0 * tone(), tone())))),
    "six channels, one speaks": riff(
        form(PCM, RATE, 16, 6),
        chunk(b"data", words(np.stack([0 * tone()] * 2 + [tone()] + [0 * tone()] * 3, axis=1).ravel())),
    ),
    "floats in the scale of integers": riff(
        form(FLOAT, RATE, 32), chunk(b"data", (tone() * 32767).astype("<f4").tobytes())
    ),
    "floats far above any scale": riff(
        form(FLOAT, RATE, 32), chunk(b"data", (tone() * 1e9).astype("<f4").tobytes())
    ),
    "floats that are no numbers": riff(form(FLOAT, RATE, 32), chunk(b"data", with_nan.tobytes())),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_odd_headers_and_samples_are_read(kind: str) -> None:
    assert_is_the_tone(sound_files.read(HEADERS[kind]))


def test_floats_in_the_scale_of_integers_are_not_clipped() -> None:
    clip = sound_files.read(HEADERS["floats in the scale of integers"])
    assert rms(clip.samples) == pytest.approx(rms((tone() * 32767).astype(np.int16)), rel=0.01)


PLAYLISTS = {
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n%s\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile '%s'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=%s\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_file_cannot_name_another_one(kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(audio.wav(SPEECH, RATE))
    with pytest.raises(BadRequest, match="not a sound file"):
        sound_files.read(PLAYLISTS[kind] % str(secret).encode())


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a sound file"),
    "text": (b"this is not audio", "not a sound file"),
    "no samples": (audio.wav(b"", RATE), "no audio"),
    "a rate of 1 Hz": (riff(form(PCM, 1, 16), chunk(b"data", SPEECH)), "1 Hz; allowed"),
    "a rate of 0 Hz": (riff(form(PCM, 0, 16), chunk(b"data", SPEECH)), "not a sound file|allowed"),
    "a rate of 2 GHz": (riff(form(PCM, 2_000_000_000, 16), chunk(b"data", SPEECH)), "allowed"),
    "zeros": (bytes(100_000), "not a sound file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_recording_is_refused_in_one_line(kind: str) -> None:
    content, says = REFUSED[kind]
    with pytest.raises(BadRequest, match=says) as refusal:
        sound_files.read(content)
    assert "\n" not in str(refusal.value)
    assert "object at 0x" not in str(refusal.value)


def test_a_recording_without_an_end_is_refused_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "MAX_INPUT_BYTES", 1 << 20)
    with pytest.raises(BadRequest, match="larger than 1 MB"):
        talk.read_question("/dev/zero")


def test_a_recording_of_hours_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_files, "MOST_SAMPLES", 8000)
    with pytest.raises(BadRequest, match="too long"):
        sound_files.read(audio.wav(SPEECH, RATE))


def test_a_limit_cuts_a_long_recording() -> None:
    assert sound_files.read(audio.wav(SPEECH, RATE), longest_s=0.25).seconds == 0.25


def test_a_high_rate_is_lowered_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of a recording then fits: one of music in stereo is as welcome as one of a telephone."""
    monkeypatch.setattr(sound_files, "MOST_SAMPLES", 20_000)
    tone = (np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000) * 8000).astype(np.int16)
    data = audio.wav(tone.tobytes(), 48_000)
    with pytest.raises(BadRequest, match="too long"):
        sound_files.read(data)
    clip = sound_files.read(data, most_rate=16_000)
    assert clip.sample_rate == 16_000
    assert len(clip.samples) == pytest.approx(16_000, abs=4)
    assert rms(clip.samples) == pytest.approx(rms(tone), rel=0.02)
    assert sound_files.read(audio.wav(tone[:8000].tobytes(), 8000), most_rate=16_000).sample_rate == 8000


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread")
    with pytest.raises(BadRequest, match=r"notes\.txt: not a sound file"):
        talk.read_question(str(path))


# ------------------------------------------------------------------------------------------- level


@pytest.mark.parametrize("decibels", [-60, -40, -30, -20, -10, -3])
def test_every_level_of_a_question_is_brought_to_that_of_speech(decibels: int, tmp_path: Path) -> None:
    path = tmp_path / "question.wav"
    path.write_bytes(audio.wav(words(tone(level=10 ** (decibels / 20))), RATE))
    clip = talk.read_question(str(path))
    assert rms(clip.samples) >= 2200
    assert pitch(clip) == pytest.approx(TONE_HZ, abs=5)


def test_silence_stays_silent() -> None:
    silence = Clip(np.zeros(RATE, np.int16), RATE)
    assert sound_files.raised(silence) is silence


@pytest.mark.parametrize("peak", [32767, -32768])
def test_a_click_in_a_quiet_recording_is_not_clipped(peak: int) -> None:
    samples: Samples = (tone(level=0.01) * 32767).astype(np.int16)
    samples[5] = peak
    assert abs(int(sound_files.raised(Clip(samples, RATE)).samples[5]) - peak) <= 1


# ---------------------------------------------------------------------------------------- any bytes


def damaged(base: bytes) -> Callable[[st.DataObject], bytes]:
    def damage(data: st.DataObject) -> bytes:
        content = bytearray(base[: data.draw(st.integers(0, len(base)))])
        for _ in range(data.draw(st.integers(0, 4))):
            if content:
                place = data.draw(st.integers(0, min(len(content), 64) - 1))
                content[place] = data.draw(st.integers(0, 255))
        return bytes(content)

    return damage


@pytest.mark.parametrize(
    "base", [audio.wav(SPEECH[:4000], RATE), HEADERS["floats that are no numbers"][:4000]]
)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damage_gives_a_clip_or_a_refusal(base: bytes, data: st.DataObject) -> None:
    content = damaged(base)(data)
    try:
        clip = sound_files.read(content, longest_s=5.0)
    except BadRequest:
        return
    assert 0 < len(clip.samples) <= 5.0 * clip.sample_rate
    assert clip.samples.dtype == np.int16
