"""A language model and a voice together: a question, and what is said in answer to it."""

from __future__ import annotations

from pipecat.frames.frames import (
    Frame,
    TTSTextFrame,
)
from pipecat.tests.utils import SleepFrame

from pipecat_bots.llama_cpp_chunked_llm import LlamaCppChunkedLLMService
from pipecat_bots.magpie_websocket_tts import MagpieWebSocketTTSService
from tests.bots.fakes import FakeLlm, FakeTts, Step, of_type, through

LONG = " ".join(f"Sentence number {n} of a long story has nine words." for n in range(220))
TEXTS = {
    "one word": "Yes",
    "no punctuation": "well I would say that it depends on what you want to do with it and when " * 3,
    "abbreviations": "Dr. Smith paid $3.50. He was happy. So was Mrs. Jones at 5 p.m. on Monday.",
    "list": "Here is the list:\n\n1. Milk\n2. Eggs\n3. Bread\n\nThat is all.\n",
    "emoji only": "🎉 🎉",
    "emoji within": "Great! 🎉 Let us go on with the next question now. 😀",
    "chinese": "你好，我是你的助手。今天天气很好，我们可以去公园散步。你想去吗？",
    "arabic": "مرحبا، كيف يمكنني مساعدتك اليوم؟ أنا هنا للإجابة على أسئلتك.",
    "two thousand words": LONG,
    "leading newlines": "\n\nHello there. This came after two new lines.",
}


def said(frames: list[Frame]) -> str:
    return "".join(frame.text for frame in of_type(frames, TTSTextFrame))


async def converse(
    llm: FakeLlm, tts: FakeTts, steps: list[Step], **options: object
) -> tuple[list[Frame], LlamaCppChunkedLLMService]:
    service = LlamaCppChunkedLLMService(base_url=llm.url, **options)  # type: ignore[arg-type]
    down, _ = await through([service, MagpieWebSocketTTSService(url=tts.url)], [SleepFrame(0.3), *steps])
    return down, service
