"""`nemotron bench tts` against servers in this process: what it hears, prints and writes."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from nemotron_speech import tts_server
from nemotron_speech.bench import tts as bench_tts
from nemotron_speech.bench.tts import TtsBenchOptions
from nemotron_speech.bench.tts_load import ListenerLoad, SimulatedPlayout, SpeechHeard, listen
from nemotron_speech.cli import app as cli
from nemotron_speech.client.connections import tts_address
from nemotron_speech.engines.base import Segment
from nemotron_speech.engines.scripted import ScriptedTts, TtsScript
from nemotron_speech.errors import BadRequest, PeerError
from nemotron_speech.settings import TtsSettings
from tests.cli.servers import serving

SEGMENTS = ("A first sentence. ", "And then a second one.")
SECONDS = sum(len(segment.strip()) for segment in SEGMENTS) * 0.02
CAPACITY = 5


def app(script: TtsScript) -> web.Application:
    return tts_server.build_app(ScriptedTts(script), TtsSettings(engine="none"))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving(app(TtsScript(ms_per_character=20, capacity=CAPACITY, fail_on="third"))) as port:
        yield port


def load(port: int, callers: int = 1, **fields: object) -> ListenerLoad:
    options = {"segments": SEGMENTS, "callers": callers, "rounds": 2, "pause_s": 0.0, "ramp_s": 0.0, **fields}
    return ListenerLoad(tts_address(f"ws://127.0.0.1:{port}"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["adaptive", "stream", "batch"])
async def test_every_utterance_is_heard_whole(port: int, mode: str) -> None:
    heard = await listen(load(port, 3, mode=mode))
    assert (heard.whole, heard.refused, heard.failures) == (6, 0, [])
    assert heard.audio_s == pytest.approx(6 * SECONDS, abs=0.05)
    assert len(heard.first_audio) == len(heard.factors) == 6
    assert heard.gaps


@pytest.mark.parametrize(("step_ms", "modes"), [(0, ["stream", "batch"]), (60, ["stream", "stream"])])
async def test_only_a_segment_that_nobody_waits_for_is_asked_for_whole(
    step_ms: int, modes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    genuine = ScriptedTts.open

    def opened(engine: ScriptedTts, segment: Segment) -> object:
        asked.append(segment.mode)
        return genuine(engine, segment)

    monkeypatch.setattr(ScriptedTts, "open", opened)
    ms_per_character = 20 if step_ms else 100
    async with serving(app(TtsScript(step_ms=step_ms, ms_per_character=ms_per_character))) as port:
        heard = await listen(load(port, rounds=1))
    assert (asked, heard.whole) == (modes, 1)


async def test_sixty_four_callers_at_once_hear_no_gap() -> None:
    """A step makes 46 ms of audio for everybody in 5 ms; a second is held back against a busy machine."""
    script = TtsScript(step_ms=5, ms_per_character=20, capacity=64, max_batch=64)
    async with serving(app(script)) as port:
        heard = await listen(load(port, 64, rounds=1, buffer_s=1.0))
    assert (heard.whole, heard.refused, heard.failures) == (64, 0, [])
    assert heard.underruns == 0


async def test_a_voice_that_is_slower_than_real_time_is_heard_to_be() -> None:
    script = TtsScript(step_ms=60, chunk_ms=20, ms_per_character=20)
    async with serving(app(script)) as port:
        heard = await listen(load(port, rounds=1, mode="stream", buffer_s=0.0, segments=["0.1 seconds"]))
    level = bench_tts.level_of(1, heard)
    assert heard.underruns > 0
    assert heard.silent_s > 0
    assert heard.factors[0] > 1
    assert not level.good


async def test_callers_beyond_the_capacity_are_counted_as_refused(port: int) -> None:
    heard = await listen(load(port, CAPACITY + 3, rounds=1, segments=["a" * 100]))
    assert (heard.whole, heard.refused, heard.failures) == (CAPACITY, 3, [])
    assert all(f"all {CAPACITY} places are taken" in reason for reason in heard.refusals)


async def test_a_voice_that_fails_and_one_that_is_not_there_are_named(port: int) -> None:
    heard = await listen(load(port, segments=["The third one."]))
    assert heard.failures == ["the script says to fail"]
    heard = await listen(load(port, voice="bob"))
    assert "'bob'; allowed: aria" in heard.failures[0]


async def test_nobody_there_is_said_at_once(unused_tcp_port: int) -> None:
    with pytest.raises(PeerError, match="nothing answers"):
        await listen(load(unused_tcp_port, 3))


async def test_the_command_prints_and_writes_what_it_measured(port: int, tmp_path: Path) -> None:
    wanted = TtsBenchOptions(
        f"127.0.0.1:{port}",
        text=" ".join(SEGMENTS),
        levels="1,7",
        rounds=1,
        buffer_ms=5000,
        ramp_s=0.0,
        json=tmp_path / "r.json",
        plot=tmp_path / "r.png",
    )
    out = Console(width=100, file=io.StringIO())
    assert await asyncio.to_thread(bench_tts.run, out, wanted) == 1, "two were refused"
    assert isinstance(out.file, io.StringIO)
    assert "first audio p99" in out.file.getvalue()
    assert f"7 callers: 2 × refused: all {CAPACITY} places" in out.file.getvalue()
    report = json.loads((tmp_path / "r.json").read_text())
    assert [(level["callers"], level["refused"]) for level in report["levels"]] == [(1, 0), (7, 2)]
    assert report["levels"][0]["first_audio_ms"]["count"] == 1
    assert report["circumstances"]["machine"]
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    one = TtsBenchOptions(f"127.0.0.1:{port}", text="Hello.", levels="1", rounds=1, buffer_ms=5000)
    assert await asyncio.to_thread(bench_tts.run, Console(quiet=True), one) == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"levels": "1,x"}, "--n is '1,x'"),
        ({"levels": "0"}, "--n is '0'"),
        ({"levels": ""}, "--n"),
        ({"rounds": 0}, "--rounds is 0"),
        ({"text": "  "}, "--text is empty"),
    ],
)
def test_a_wrong_option_is_named(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        bench_tts.run(Console(quiet=True), TtsBenchOptions(**fields))  # type: ignore[arg-type]


def test_the_command_line_knows_the_benchmark() -> None:
    result = CliRunner().invoke(cli.app, ["bench", "tts", "--mode", "loud"])
    assert result.exit_code == 2
    assert "adaptive" in result.output
    result = CliRunner().invoke(cli.app, ["bench", "tts", "--n", "zero"])
    assert result.exit_code == 2


# ---------------------------------------------------------------------------------- the playout clock


def test_audio_that_comes_in_time_leaves_no_silence() -> None:
    playout = SimulatedPlayout(0.1)
    assert [playout.hear(now, 0.05) for now in (1.0, 1.1, 1.2, 1.25)] == [0, 0, 0, 0]


def test_audio_that_comes_late_is_an_underrun_once() -> None:
    playout = SimulatedPlayout(0.1)
    playout.hear(1.0, 0.05)
    assert playout.hear(1.35, 0.5) == pytest.approx(0.2)
    assert playout.hear(1.6, 0.5) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=20), st.floats(0, 1))
def test_silence_and_audio_fill_the_time_until_all_is_played(
    pieces: list[tuple[float, float]], buffer_s: float
) -> None:
    playout, now, silent = SimulatedPlayout(buffer_s), 0.0, 0.0
    for wait, seconds in pieces:
        now += wait
        silent += playout.hear(now, seconds)
    first = pieces[0][0]
    played = sum(seconds for _, seconds in pieces)
    assert first + buffer_s + silent + played >= now - 1e-9


def test_the_summary_of_nothing_is_empty() -> None:
    level = bench_tts.level_of(4, SpeechHeard())
    assert (level.first_audio_ms, level.rtf_p50, level.underruns) == (None, None, 0)
