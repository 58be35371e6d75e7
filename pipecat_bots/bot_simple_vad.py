"""Variant of bot_interleaved_streaming whose turns end after 0.8 s of silence, to judge the recogniser alone.

uv run pipecat_bots/bot_simple_vad.py [-t webrtc|daily|twilio|...]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipecat_bots.pipeline import run_session, warm_up
from pipecat_bots.process import serve
from pipecat_bots.services import Services, chunked_llm, recogniser, voice
from pipecat_bots.settings import BotSettings
from pipecat_bots.turns.strategies import timed_turns

if TYPE_CHECKING:
    from pipecat.runner.types import RunnerArguments


def services(settings: BotSettings) -> Services:
    return Services(
        recogniser(settings, speculative=False), chunked_llm(settings), voice(settings, "adaptive")
    )


async def bot(runner_args: RunnerArguments) -> None:
    """Serve one caller; the runner finds this by its name."""
    await run_session(runner_args, services, timed_turns)


if __name__ == "__main__":
    serve(warm_up)
