"""Words of a bot whose language model gave it none."""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import LLMTextFrame, TTSSpeakFrame
from pipecat.services.llm_service import LLMService
from pipecat.utils.errors import ErrorCategory

from nemotron_speech.protocol.llama.answer_words import NOTHING_TO_SAY

APOLOGY = "Sorry, my language model is not answering. Please try again in a moment."
INSTRUCTIONS_TOO_LONG = (
    "Sorry, my instructions are too long for my language model. Whoever set me up must shorten them."
)
TOO_LONG = "Sorry, that was more than I can take in at once. Please say it in fewer words."


class Excuses(LLMService[Any]):
    """Fail aloud, and say so when there is nothing to say.

    Args:
        nothing_to_say: Answer in place of one without words; empty for silence.
    """

    def __init__(self, *, nothing_to_say: str = NOTHING_TO_SAY, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._nothing_to_say = nothing_to_say

    async def _apologise(self, reason: str, apology: str = APOLOGY, *, answers: bool = False) -> None:
        """Fail aloud: the next turn may work, so this is no more than an error of this one.

        Args:
            reason: For the log.
            apology: What is said.
            answers: Whether it is an answer to what the user said, which then is not part of the next turn.
        """
        await self.push_error(reason, category=ErrorCategory.SERVER)
        if not self._skip_tts:
            await self.push_frame(TTSSpeakFrame(apology, append_to_context=answers))

    async def _admit_nothing(self, signs: str) -> None:
        """Answer where the model gave no words.

        Args:
            signs: What it gave, which is part of the conversation.
        """
        if not self._nothing_to_say:
            return
        if self._skip_tts:
            await self.push_frame(LLMTextFrame(self._nothing_to_say))
        else:
            gap = " " if signs.strip() else ""
            await self.push_frame(TTSSpeakFrame(gap + self._nothing_to_say, append_to_context=True))
