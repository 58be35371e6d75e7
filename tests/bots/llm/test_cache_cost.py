"""Load of whole conversations on each kind of language model server: its requests and their tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from benchmarks.doubles.plain_llm import KINDS, LlmScript, PlainServer, ToolReply
from tests.bots.conversation import Outcome, Setting, Spoken, converse
from tests.virtual_time import VirtualTimeLoop

INSTRUCTIONS = "You are a voice agent. " + "Answer briefly and kindly. " * 30
TURNS = 4
SHARE = 1.1
"""Most answering requests per answer, on average."""
ABOVE = 20
"""Tokens that may be evaluated in a turn above its new ones."""

QUESTION: list[Spoken] = [("alpha", 300), ("bravo", 300), ("", 3000)]
BREATH: list[Spoken] = [("alpha", 400), ("", 140), ("bravo", 300), ("charlie", 300), ("", 3000)]
"""A question that goes on when its answer has been begun."""
BARGE_IN: list[Spoken] = [("alpha", 300), ("", 2500), ("bravo", 700), ("charlie", 400), ("", 3000)]
"""A question, and another in the middle of its long answer."""


def replies(count: int) -> tuple[str, ...]:
    return tuple(f"Answer {n} is what I say." for n in range(1, count + 1))


LONG = "And there is so much more to say about it. " * 8
LONG_ANSWERS = LlmScript(replies=tuple(f"Answer {n} is it. {LONG if n % 2 else ''}" for n in range(1, 20)))
"""A long one and a short one in turn."""


@dataclass
class Cost:
    """Cost of a conversation: its outcome, and what it asked of its server."""

    outcome: Outcome
    counts: dict[str, Any]

    @property
    def answers(self) -> int:
        """Requests for answers."""
        return self.counts["requests"]["answers"]

    @property
    def new_tokens(self) -> int:
        """Tokens of the whole conversation as it was sent last: each has to be evaluated once."""
        return self.counts["records"][-1]["prompt_tokens"]

    @property
    def evaluated(self) -> int:
        return self.counts["evaluated"]

    def evaluated_for(self, kind: str) -> list[int]:
        """Tokens of each request of a kind."""
        return [record["evaluated"] for record in self.counts["records"] if record["kind"] == kind]


def hold(kind: str, script: list[Spoken], speculation: float, said: LlmScript | None = None) -> Cost:
    async def scenario() -> Cost:
        script_of_model = said or LlmScript(replies=replies(20))
        server = PlainServer(script_of_model, kind, model="m")
        host = TestServer(server.app())
        await host.start_server()
        setting = Setting(
            plain=server.is_vllm,
            model_url=str(host.make_url("")).rstrip("/"),
            instructions=INSTRUCTIONS,
            speculation=speculation,
            voice_s=0.15,
        )
        try:
            outcome = await converse(script, setting)
        finally:
            await host.close()
        return Cost(outcome, server.counts())

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(scenario())


@pytest.mark.parametrize(("kind", "speculation"), [("hybrid", 0.0), *((kind, 1.0) for kind in KINDS)])
def test_an_answer_is_one_request_and_a_turn_costs_its_new_words(kind: str, speculation: float) -> None:
    cost = hold(kind, QUESTION * TURNS, speculation)
    assert cost.outcome.roles == "ua" * TURNS
    assert cost.answers <= TURNS * SHARE
    assert cost.evaluated <= cost.new_tokens + ABOVE * TURNS


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_guess_is_made_once_where_it_costs_the_whole_conversation(kind: str) -> None:
    cost = hold(kind, BREATH * TURNS, 1.0)
    assert cost.outcome.roles == "ua" * TURNS
    assert TURNS < cost.answers <= TURNS + (1 if kind == "hybrid" else TURNS)
    read_again = cost.new_tokens if kind == "hybrid" else 0
    assert cost.evaluated <= cost.new_tokens + ABOVE * cost.answers + read_again


WARM_UPS = {"hybrid": 2, "attention": 1, "vllm": 0}
"""Besides that of the instructions: for each interruption, for the first to know the server, for none."""


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_interruption_costs_is_paid_while_the_user_speaks(kind: str) -> None:
    cost = hold(kind, BARGE_IN * 2, 0.0, LONG_ANSWERS)
    assert cost.outcome.roles == "uaua" * 2
    assert cost.answers == 4
    assert max(cost.evaluated_for("answer")) < 2 * ABOVE
    instructions, *others = cost.evaluated_for("warm-up")
    assert instructions > 150
    assert len(others) == WARM_UPS[kind]
    heard_in_part = sum(others) if kind == "hybrid" else 0
    assert cost.evaluated <= cost.new_tokens + ABOVE * 4 + heard_in_part


@pytest.mark.parametrize(("kind", "speculation"), [("hybrid", 0.0), *((kind, 1.0) for kind in KINDS)])
def test_a_tool_costs_one_request_more_and_its_result(kind: str, speculation: float) -> None:
    first, _, third, *_ = replies(TURNS)
    said = LlmScript(replies=(first, ToolReply("look", "Answer 2 has looked.", {"text": "it"}), third))
    cost = hold(kind, QUESTION * 3, speculation, said)
    assert cost.outcome.roles == "uauataua"
    assert cost.outcome.tools == ["it"]
    assert cost.answers == 3 + 1
    assert cost.evaluated <= cost.new_tokens + ABOVE * 4
