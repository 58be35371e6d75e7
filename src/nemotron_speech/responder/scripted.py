"""A language model that recites a script on time: for tests and benchmarks, never a default."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.responder.generation import Respond, TokenPace
from nemotron_speech.responder.talk.replies import Turn


class LlmScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Script of the model: its answers and its timing."""

    greeting: str = "Hello."
    """Answer while no user has spoken."""
    replies: tuple[str, ...] = ("I heard you.",)
    """One per turn of the user, in turn."""
    first_token_ms: float = 0.0
    """Milliseconds from request to first token of an answer; a continuation comes at the token rate."""
    tokens_per_second: float = 0.0
    """Generated tokens a second; 0: as fast as the connection takes them."""

    @property
    def pace(self) -> TokenPace:
        return TokenPace(tokens_per_second=self.tokens_per_second, first_token_s=self.first_token_ms / 1000)

    def respond(self, turns: Sequence[Turn], now: datetime) -> str:
        """Say the answer to the last turn of the user; it depends on how many came before alone."""
        spoken = sum(turn.role == "user" for turn in turns)
        return self.replies[(spoken - 1) % len(self.replies)] if spoken else self.greeting


class _File(msgspec.Struct, frozen=True):
    llm: LlmScript = LlmScript()


def read_script(path: Path) -> tuple[Respond, TokenPace]:
    """Read the `llm` part of a script file. Raises ConfigurationError."""
    try:
        script = msgspec.json.decode(path.read_bytes(), type=_File).llm
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"cannot read the script {path}: {error}") from None
    return script.respond, script.pace
