"""The benchmarks of the recogniser run as they are, on a model small enough for a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.asr_streams import Run, most_held
from tests.engines.nemo_asr.conftest import MakeEngine


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 17, 40, 64])
def test_the_search_finds_the_largest_number_that_is_held(limit: int) -> None:
    asked: list[int] = []
    found = most_held(lambda n: asked.append(n) or n <= limit, 40)
    assert found == min(limit, 40)
    assert max(asked) <= 40


def test_a_lag_that_grows_is_a_drift() -> None:
    assert Run([(float(i), 0.01) for i in range(30)]).drift_ms == 0
    assert Run([(float(i), 0.001 * i) for i in range(30)]).drift_ms == pytest.approx(20)


def test_streams_speak_in_real_time_and_finals_take_their_turn(make_engine: MakeEngine) -> None:
    """On a clock of its own that stands still during a step: every lag is then nothing but rounding."""
    from benchmarks.asr_streams import speak

    engine = make_engine("rnnt", right_context=0)
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds + 1e-6

    run = speak(engine, 5, 3.0, finals=True, now=lambda: clock[0], sleep=sleep)
    chunks = 5 * 3.0 / 0.08
    assert 0.8 * chunks < len(run.lags) < 1.2 * chunks, "an utterance's first chunk is short"
    assert max(lag for _, lag in run.lags) < 1e-3
    assert len(run.finals) >= 10
    assert max(run.finals) < 1e-3
    streams = [engine.open(None) for _ in range(8)]
    assert all(stream.slot is not None for stream in streams), "every place was given back"


def test_the_capacity_of_a_small_model_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.asr_streams import main

    arguments = "--size tiny --chunk-ms 160 --most 2 --search-s 0.6 --confirm-s 1 --finals-s 1.5 --threads 1"
    main([*arguments.split(), "--bound", "50", "--device", "cpu", "--json", str(tmp_path / "streams.json")])
    (point,) = json.loads((tmp_path / "streams.json").read_text())["points"]
    assert point["chunk_ms"] == 160
    assert point["final_alone_p50_ms"] > 0
    assert "| 160 | " in capsys.readouterr().out


def test_parity_is_printed_and_written_for_every_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.asr_parity import main

    main(["--size", "tiny", "--clips", "2", "--device", "cpu", "--json", str(tmp_path / "parity.json")])
    points = json.loads((tmp_path / "parity.json").read_text())["points"]
    assert [(p["precision"], p["together"]) for p in points] == [
        (precision, together) for precision in ("fp32", "bf16", "fp16") for together in (False, True)
    ]
    alone, together, half, *_ = points
    assert (alone["largest"], alone["same_texts"]) == (0, 2)
    assert together["largest"] < 1e-4
    assert together["same_texts"] == 2
    assert 0 < half["relative"] < 0.1
    assert "| bf16 | 2 | " in capsys.readouterr().out
