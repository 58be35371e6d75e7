"""The bot for a large model on vLLM, or on any OpenAI-compatible server.

uv run pipecat_bots/bot_vllm.py [-t webrtc|daily|twilio|...]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipecat_bots.openai_llm import NvidiaOpenAILLMService
from pipecat_bots.pipeline import run_session, warm_up
from pipecat_bots.process import serve
from pipecat_bots.services import Services, llm_options, recogniser, voice
from pipecat_bots.settings import BotSettings
from pipecat_bots.turns.strategies import smart_turns

if TYPE_CHECKING:
    from pipecat.runner.types import RunnerArguments


def services(settings: BotSettings) -> Services:
    llm = NvidiaOpenAILLMService(
        base_url=settings.nvidia_llm_url,
        api_key=settings.nvidia_llm_api_key,
        model=settings.nvidia_llm_model,
        **llm_options(settings),
    )
    return Services(recogniser(settings), llm, voice(settings, "adaptive"))


async def bot(runner_args: RunnerArguments) -> None:
    """Serve one caller; the runner finds this by its name."""
    await run_session(runner_args, services, smart_turns)


if __name__ == "__main__":
    serve(warm_up)
