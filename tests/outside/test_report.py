"""Reports made of the findings: the counts that fail a run, the JSON, and the README's table."""

from __future__ import annotations

import json

import pytest

from benchmarks.outside.cells import PLAIN, STREAMING, Cell
from benchmarks.outside.judging import Findings
from benchmarks.outside.readme import BEGIN, END, put, table
from benchmarks.outside.report import faults, report, tables


def cell() -> Cell:
    """Everything as it should be."""
    findings = Findings(calls=2, greeted=2, turns=5, answered=5, contexts=5, contexts_right=5)
    findings.voice_to_voice_ms = [400.0, 500.0, 900.0]
    return Cell(PLAIN, STREAMING, "on", findings, ordinary_requests=11, ordinary_responses=10)


def test_right_counts_are_no_fault_whatever_the_times() -> None:
    made = cell()
    made.findings.voice_to_voice_ms = [99999.0]
    made.findings.gaps_ms = [40.0]
    assert faults(made) == []


@pytest.mark.parametrize(
    ("count", "named"),
    [
        ("greeted", "greeting was heard in 1 of 2"),
        ("answered", "4 of 5 turns were answered"),
        ("contexts_right", "context was right in 4 of 5"),
    ],
)
def test_a_wrong_count_is_named(count: str, named: str) -> None:
    made = cell()
    setattr(made.findings, count, getattr(made.findings, count) - 1)
    (fault,) = faults(made)
    assert named in fault


def test_stale_audio_and_too_many_requests_are_named() -> None:
    made = cell()
    made.findings.stale, made.ordinary_requests = 1, 12
    assert ["1 old answers" in fault or "1.20 requests" in fault for fault in faults(made)] == [True, True]


def test_the_readme_has_the_figures_between_its_marks() -> None:
    figures = json.loads(json.dumps(report([cell()])))
    readme = put(f"a\n{BEGIN}\nold\n{END}\nb", table(figures))
    assert readme.startswith(f"a\n{BEGIN}\n| servers | bot |")
    assert (
        "| plain | `bot_interleaved_streaming` | on | 500 ms, 900 ms |  | 5 of 5 | 2 of 2 | 1.10 |" in readme
    )
    assert readme.endswith(f"{END}\nb")
    assert put(readme, table(figures)) == readme
    with pytest.raises(ValueError, match="has no"):
        put("nothing", "")


def test_speculation_is_compared_on_the_same_servers_and_bot() -> None:
    on, off, other = cell(), cell(), cell()
    off.speculation, other.bot = "off", "bot_vllm"
    off.findings.voice_to_voice_ms = [450.0, 620.0, 950.0]
    (compared,) = report([on, other, off])["speculation"]
    assert compared == {
        "servers": "plain",
        "bot": STREAMING,
        "on_less_off_ms": {"p50": -120, "p95": -50},
    }


def test_every_cell_has_a_row() -> None:
    assert [shown.row_count for shown in tables([cell(), cell()])] == [2, 2]
