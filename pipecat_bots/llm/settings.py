"""Settings of a language model service that may be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipecat.services.settings import LLMSettings
from pipecat.utils.types import NOT_GIVEN, NotGiven


@dataclass
class LlamaCppLLMSettings(LLMSettings):
    """Runtime settings.

    Parameters:
        thinking_tokens: How long a reasoning model may think before it answers; 0 for not at all.
    """

    thinking_tokens: int | NotGiven = field(default_factory=lambda: NOT_GIVEN)


def complete(settings: LlamaCppLLMSettings | None, model: str | None) -> LlamaCppLLMSettings:
    """Return a value for every setting: what is given, else the default."""
    store = LlamaCppLLMSettings(
        model=model or "default",
        system_instruction=None,
        temperature=None,
        max_tokens=1024,
        top_p=None,
        top_k=None,
        frequency_penalty=None,
        presence_penalty=None,
        seed=None,
        filter_incomplete_user_turns=False,
        user_turn_completion_config=None,
        use_provider_thinking_default=False,
        thinking_tokens=0,
    )
    if settings is not None:
        store.apply_update(settings)
    return store


def given(value: Any) -> Any:
    """Return the value, None in place of Pipecat's mark for a missing one."""
    return None if isinstance(value, NotGiven) else value
