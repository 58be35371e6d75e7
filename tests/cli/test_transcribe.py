"""`nemotron transcribe`: recordings of any kind in; text, JSON and subtitles out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from nemotron_speech import audio, server
from nemotron_speech.cli.app import app
from nemotron_speech.cli.subtitles import FileTranscript, TranscriptFormat, cues, document
from nemotron_speech.cli.transcribe import TranscriptTarget, transcribe_files
from nemotron_speech.cli.up import RunOptions
from nemotron_speech.client.recording import HeardPart, TimedWord
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr
from nemotron_speech.supervisor.profiles import Ports
from tests.cli.servers import servers_in_a_thread, serving

Transcribe = Callable[..., Result]


@pytest.fixture(scope="module")
def port() -> Iterator[list[str]]:
    with servers_in_a_thread(AsrScript(transcripts=("hello there", "and good bye"))) as flags:
        yield flags[:2]


@pytest.fixture
def transcribe(port: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Transcribe:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object, input: bytes | None = None) -> Result:
        return CliRunner().invoke(app, ["transcribe", *map(str, arguments), *port], input=input)

    return invoke


def tone(seconds: float, rate: int = 16000) -> bytes:
    samples = np.sin(np.arange(round(seconds * rate)) / 5) * 8000
    return audio.wav(samples.astype(np.int16).tobytes(), rate)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    path.write_bytes(tone(1.0, 44100))
    return path


def test_the_text_alone_is_on_standard_output(transcribe: Transcribe, clip: Path) -> None:
    result = transcribe(clip)
    assert (result.exit_code, result.stdout) == (0, "hello there\n"), result.stderr


def test_standard_input_is_read(transcribe: Transcribe) -> None:
    assert transcribe("-", input=tone(1.0)).stdout == "hello there\n"


def test_the_parts_of_a_long_recording_are_one_text(transcribe: Transcribe, tmp_path: Path) -> None:
    (tmp_path / "long.wav").write_bytes(tone(30.0))
    assert transcribe("long.wav").stdout == "hello there and good bye\n"


def test_several_recordings_are_told_apart_and_a_bad_one_costs_no_other(
    transcribe: Transcribe, clip: Path
) -> None:
    result = transcribe(clip, "missing.wav", clip)
    assert result.exit_code == 2
    assert result.stdout == f"==> {clip} <==\nhello there\n\n==> {clip} <==\nhello there\n"
    assert "no file missing.wav" in result.stderr


def test_silence_is_said_to_be_silent(transcribe: Transcribe, tmp_path: Path) -> None:
    (tmp_path / "silence.wav").write_bytes(audio.wav(bytes(32000), 16000))
    result = transcribe("silence.wav")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no speech was understood in silence.wav" in result.stderr


def test_json_has_every_word_with_its_time(transcribe: Transcribe, clip: Path) -> None:
    found = json.loads(transcribe(clip, "--format", "json").stdout)
    assert (found["text"], found["word_times"], found["duration_ms"]) == ("hello there", "model", 1000)
    assert found["segments"][0]["words"][1] == {"text": "there", "start_ms": 250, "end_ms": 500}


def test_subtitles_are_written_in_the_format_of_the_file_s_name(
    transcribe: Transcribe, clip: Path, tmp_path: Path
) -> None:
    assert transcribe(clip, "-o", "clip.srt").exit_code == 0
    assert (tmp_path / "clip.srt").read_text() == "1\n00:00:00,000 --> 00:00:00,500\nhello there\n"


def test_a_folder_gets_a_file_for_each_recording(transcribe: Transcribe, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes(tone(1.0))
    (tmp_path / "out").mkdir()
    assert transcribe(clip, "other.wav", "--format", "vtt", "-o", "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.vtt", "other.vtt"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("clip.wav", "clip.wav", "--format", "srt"), "holds one recording"),
        (("clip.wav", "--format", "doc"), "allowed: text, json, srt, vtt"),
        (("clip.wav", "--language", "xx"), "xx"),
        (("-", "-"), "once"),
        (("missing.wav",), "no file missing.wav"),
    ],
)
def test_what_cannot_be_done_is_the_users_mistake(
    transcribe: Transcribe, clip: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = transcribe(*arguments)
    assert result.exit_code in (1, 2)
    assert says in " ".join(result.stderr.split())
    assert result.stdout == ""


async def test_a_recogniser_that_estimates_times_is_believed(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEMOTRON_STATE_DIR", str(tmp_path / "state"))
    engine = ScriptedAsr(AsrScript())
    engine.info = replace(engine.info, estimates_times=True)
    target = TranscriptTarget.of(str(tmp_path / "clip.vtt"), None, [str(clip)])
    out = Console(file=StringIO(), width=200)
    async with serving(server.build_app(engine)) as port:
        wanted = RunOptions(ports=Ports(asr=port), elsewhere=("tts", "llm"))
        assert await transcribe_files(out, [str(clip)], target, wanted, None, verbose=False) == 0
    assert "NOTE The times of words are estimates." in (tmp_path / "clip.vtt").read_text()
    assert "The times of words are estimates." in out.file.getvalue()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------ subtitles


def words(text: str, start_ms: int = 0, each_ms: int = 300) -> tuple[TimedWord, ...]:
    return tuple(
        TimedWord(word, start_ms + n * each_ms, start_ms + (n + 1) * each_ms)
        for n, word in enumerate(text.split())
    )


def heard(*parts: HeardPart, estimates: bool = False) -> FileTranscript:
    return FileTranscript("a.wav", 60.0, parts, estimates)


def test_subtitles_end_at_silences_and_stay_short() -> None:
    early, late = words("one two three"), words("four " * 40, start_ms=5000)
    found = list(cues(heard(HeardPart("", 0, 20_000, early + late))))
    assert (found[0].text, found[0].start_ms, found[0].end_ms) == ("one two three", 0, 900)
    assert all(len(cue.text) <= 84 and cue.end_ms - cue.start_ms <= 7000 for cue in found)
    assert " ".join(cue.text for cue in found[1:]).split() == ["four"] * 40


def test_estimates_are_marked() -> None:
    part = HeardPart("a <b> c", 1000, 4000, words("a <b> c", 1000))
    assert "NOTE" not in document(heard(part), TranscriptFormat.VTT)
    told = document(heard(part, estimates=True), TranscriptFormat.VTT)
    assert "NOTE The times of words are estimates." in told
    assert "a &lt;b&gt; c" in told
    assert (
        json.loads(document(heard(part, estimates=True), TranscriptFormat.JSON))["word_times"] == "estimated"
    )


def test_without_times_of_words_a_part_s_time_is_shared_out() -> None:
    transcript = heard(HeardPart("one two", 1000, 3000))
    assert "00:00:01.000 --> 00:00:03.000\none two" in document(transcript, TranscriptFormat.VTT)
    assert "NOTE" in document(transcript, TranscriptFormat.VTT)
    found = json.loads(document(transcript, TranscriptFormat.JSON))
    assert (found["word_times"], found["segments"][0]["words"]) == ("none", [])


def test_a_long_subtitle_has_two_lines() -> None:
    text = "eleven chars and more of them until the line is full"
    told = document(heard(HeardPart("", 0, 5000, words(text, each_ms=100))), TranscriptFormat.SRT)
    assert told.splitlines()[2:4] == ["eleven chars and more of", "them until the line is full"]
