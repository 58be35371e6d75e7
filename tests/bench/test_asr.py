"""`nemotron bench asr` against servers in this process: what it counts, prints and writes."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import jiwer
import numpy as np
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from nemotron_speech import audio, server, sound_files, yap_server
from nemotron_speech.bench import asr as bench
from nemotron_speech.bench.asr import AsrBenchOptions, Spread, drift_ms
from nemotron_speech.bench.asr_load import Load, Outcome, call_all, frames_of
from nemotron_speech.bench.wer import word_error_rate
from nemotron_speech.cli import app as cli
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr
from nemotron_speech.errors import BadRequest, ConfigurationError, PeerError
from nemotron_speech.serving.frames import BINARY, TEXT, WebSocketClient, masked_frame
from nemotron_speech.settings import AsrSettings
from tests.cli.servers import serving

TEXT_SAID = "one two three four five"
CAPACITY = 6


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    tone = (np.sin(np.arange(16000 * 1) / 5) * 8000).astype(np.int16)
    path = tmp_path / "tone.wav"
    path.write_bytes(audio.wav(tone.tobytes(), 16000))
    return path


@pytest.fixture
async def ports(unused_tcp_port: int) -> AsyncIterator[dict[int, int]]:
    """The port of each protocol of one server."""
    script = AsrScript(transcripts=(TEXT_SAID,), capacity=CAPACITY)
    app = server.build_app(ScriptedAsr(script), AsrSettings(engine="none", yap_port=unused_tcp_port))
    async with serving(app) as port:
        yield {1: port, 2: unused_tcp_port}


def load(ports: dict[int, int], protocol: int, recording: Path, **fields: float) -> Load:
    frames = frames_of(sound_files.read(recording))
    return Load(f"ws://127.0.0.1:{ports[protocol]}", protocol, frames, ramp_s=0.1, rtf=4, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", [1, 2])
async def test_every_caller_is_served_and_measured(
    ports: dict[int, int], recording: Path, protocol: int
) -> None:
    outcome = await call_all(load(ports, protocol, recording, calls=4, concurrency=4))
    assert (outcome.held, outcome.refused, outcome.failures) == (4, 0, [])
    assert outcome.texts == [TEXT_SAID] * 4
    assert len(outcome.finals) == 4
    assert outcome.interims == len(outcome.lags) > 4
    assert all(seconds > 0 for _, seconds in (*outcome.finals, *outcome.lags))


@pytest.mark.parametrize("protocol", [1, 2])
async def test_callers_beyond_the_capacity_are_counted_as_refused(
    ports: dict[int, int], recording: Path, protocol: int
) -> None:
    outcome = await call_all(load(ports, protocol, recording, calls=9, concurrency=9))
    assert (outcome.held, outcome.refused, outcome.failures) == (CAPACITY, 9 - CAPACITY, [])
    assert outcome.refusals == [f"all {CAPACITY} places are taken; try again later or elsewhere"] * (
        9 - CAPACITY
    )
    assert outcome.peak == CAPACITY, "those that were refused do not count"


async def test_with_less_concurrency_calls_follow_each_other(ports: dict[int, int], recording: Path) -> None:
    outcome = await call_all(load(ports, 2, recording, calls=9, concurrency=3))
    assert outcome.held == 9
    assert outcome.peak <= 3


@pytest.mark.parametrize("protocol", [1, 2])
async def test_with_a_duration_the_recording_is_repeated_on_the_same_connection(
    ports: dict[int, int], recording: Path, protocol: int
) -> None:
    outcome = await call_all(load(ports, protocol, recording, calls=1, concurrency=1, duration_s=0.7))
    assert outcome.held == 1
    assert len(outcome.finals) >= 2
    assert set(outcome.texts) == {TEXT_SAID}, "finals of whole recordings only"


async def test_nobody_there_is_said_at_once(unused_tcp_port: int, recording: Path) -> None:
    with pytest.raises(PeerError, match="nothing answers"):
        await call_all(load({1: unused_tcp_port}, 1, recording, calls=3, concurrency=3))


@pytest.mark.parametrize(("spoken", "served"), [(1, 2), (2, 1)])
async def test_the_wrong_protocol_is_named_with_the_right_one(
    spoken: int, served: int, ports: dict[int, int], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yap_server, "INIT_TIMEOUT_S", 0.05)
    outcome = await call_all(load({spoken: ports[served]}, spoken, recording, calls=1, concurrency=1))
    assert outcome.failures == [f"this server speaks the other protocol; try --protocol {served}"]


async def test_what_is_no_speech_server_is_a_failure_with_its_reason(recording: Path) -> None:
    async with serving(web.Application()) as port:
        outcome = await call_all(load({1: port}, 1, recording, calls=1, concurrency=1))
    assert outcome.held == 0
    assert "404" in outcome.failures[0]


async def test_a_server_that_hangs_up_is_a_failure(recording: Path) -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str('{"type":"ready"}')
        await socket.receive()
        await socket.close(code=1011, message=b"broken")
        return socket

    app = web.Application()
    app.add_routes([web.get("/", handle)])
    async with serving(app) as port:
        outcome = await call_all(load({1: port}, 1, recording, calls=1, concurrency=1))
    assert outcome.failures == ["closed with 1011: broken"]


# --------------------------------------------------------------------------------- the command


async def test_the_command_prints_and_writes_what_it_measured(
    ports: dict[int, int], recording: Path, tmp_path: Path
) -> None:
    wanted = AsrBenchOptions(
        recording,
        f"127.0.0.1:{ports[2]}",
        protocol=2,
        calls=8,
        rtf=4,
        duration_s=0.5,
        reference="One, two three for five!",
        json=tmp_path / "r.json",
        plot=tmp_path / "r.png",
        full_text=True,
        print_partials=True,
    )
    out = Console(width=100, file=io.StringIO())
    assert await asyncio.to_thread(bench.run, out, wanted) == 1, "two were refused"
    assert isinstance(out.file, io.StringIO)
    shown = " ".join(out.file.getvalue().split())
    assert f"held {CAPACITY}" in shown
    assert "refused 2" in shown
    assert f"2 × refused: all {CAPACITY} places are taken" in shown
    assert "word error rate 20.0%" in shown
    assert f"= {TEXT_SAID}" in shown
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["calls"], report["held"], report["refused"], report["wer"]) == (8, CAPACITY, 2, 0.2)
    assert report["final_ms"]["count"] >= CAPACITY
    assert report["circumstances"]["machine"]
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_hundred_and_twenty_eight_callers_are_held_and_their_words_counted(
    recording: Path, unused_tcp_port: int, tmp_path: Path, protocol: int
) -> None:
    """`nemotron bench asr --n 128`, as it is typed."""
    script = AsrScript(transcripts=(TEXT_SAID,), capacity=128, max_batch=128)
    app = server.build_app(ScriptedAsr(script), AsrSettings(engine="none", yap_port=unused_tcp_port))
    async with serving(app) as port:
        address = f"localhost:{(port, unused_tcp_port)[protocol - 1]}"
        arguments = ["bench", "asr", "--file", str(recording), "--url", address, "--protocol", str(protocol)]
        arguments += ["--n", "128", "--rtf", "1", "--ref", "one two three four six", "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, cli.app, [*arguments, str(tmp_path / "r.json")])
    assert result.exit_code == 0, result.output
    assert "word error rate" in result.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["calls"], report["held"], report["refused"]) == (128, 128, 0)
    assert report["wer"] == pytest.approx(0.2)
    assert report["final_ms"]["count"] == 128
    assert report["interim_lag_ms"]["count"] >= 128 * 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"calls": 0}, "--n is 0"), ({"rtf": -1.0}, "--rtf"), ({"file": Path("no.wav")}, "no file")],
)
def test_a_wrong_option_is_named(recording: Path, fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        bench.run(Console(quiet=True), AsrBenchOptions(**{"file": recording, **fields}))  # type: ignore[arg-type]


def test_a_plot_without_matplotlib_is_refused_before_the_run(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match="needs matplotlib"):
        bench.run(Console(quiet=True), AsrBenchOptions(recording, plot=Path("x.png")))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("localhost:8090", "ws://localhost:8090"),
        ("http://h:1/x", "ws://h:1/x"),
        ("https://h", "wss://h"),
        ("ws://h", "ws://h"),
    ],
)
def test_a_server_may_be_named_by_any_of_its_addresses(given: str, meant: str) -> None:
    assert bench.address(given) == meant


# --------------------------------------------------------------------------------- the figures


def test_a_spread_counts_ranks() -> None:
    values = [n / 1000 for n in range(1, 101)]
    random.shuffle(values)
    assert Spread.of(values) == Spread(100, 51.0, 91.0, 96.0, 100.0, 100.0)
    assert Spread.of([]) is None


def test_drift_compares_the_ends_of_the_run() -> None:
    steady = [(float(t), 0.010) for t in range(90)]
    growing = [(float(t), 0.010 + t / 1000) for t in range(90)]
    assert drift_ms(steady) == 0.0
    assert drift_ms(growing) == pytest.approx(60, abs=2)
    assert drift_ms([]) is None
    assert drift_ms([(1.0, 0.1)]) is None


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=6)


@given(reference=words.filter(bool), heard=words)
def test_the_word_error_rate_agrees_with_jiwer(reference: list[str], heard: list[str]) -> None:
    expected = jiwer.wer(" ".join(reference), " ".join(heard))
    assert word_error_rate(" ".join(reference), [" ".join(heard)]) == pytest.approx(expected)


def test_punctuation_and_capitals_are_no_errors() -> None:
    assert word_error_rate("Don't stop, please.", ["don’t STOP please"]) == 0
    assert word_error_rate("a b", ["a b", "a"]) == 0.25
    assert word_error_rate("", ["a"]) is None
    assert word_error_rate("a", []) is None


# ------------------------------------------------------------------------------- its WebSockets


class Echoed(WebSocketClient):
    def __init__(self) -> None:
        super().__init__()
        self.messages: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.ready = asyncio.Event()

    def opened(self) -> None:
        self.ready.set()

    def received(self, kind: int, payload: bytes) -> None:
        self.messages.put_nowait((kind, payload))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_001])
async def test_messages_of_any_size_survive_the_way_there_and_back(size: int) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.ping(b"are you there")
        async for message in socket:
            assert isinstance(message, aiohttp.WSMessage)
            if message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            else:
                await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.add_routes([web.get("/", echo)])
    payload = random.Random(size).randbytes(size)
    async with serving(app) as port:
        client = Echoed()
        client.address("127.0.0.1", "/", "")
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
        async with asyncio.timeout(10):
            await client.ready.wait()
            client.write(masked_frame(payload))
            client.send("grüße")
            assert await client.messages.get() == (BINARY, payload)
            assert await client.messages.get() == (TEXT, "grüße".encode())
        client.close()


def test_the_outcome_of_no_calls_is_empty() -> None:
    report = bench.report_of(AsrBenchOptions(Path("x.wav")), {}, 1.0, Outcome())
    assert (report.calls, report.final_ms, report.drift_ms, report.wer) == (0, None, None, None)
