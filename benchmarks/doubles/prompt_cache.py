"""Prompt caches of language model servers, as the number of tokens that a prompt finds in each.

A prompt is a sequence of tokens: words with the space before them, and ChatML's marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

BLOCK_TOKENS = 16
"""Tokens in a block of vLLM's prefix cache."""

Rewind: TypeAlias = Literal["any token", "none"]
"""Tokens that a slot can go back to: every one with an attention model, none with a recurrent one."""

_TOKEN = re.compile(r"<\|im_start\|>|<\|im_end\|>|</?think>|\s?\w+|\s?[^\w\s<]+|\s?<(?![|/t])|<|\s")
_START, _END = "<|im_start|>", "<|im_end|>"
_NO_THOUGHTS = "<think></think>"


def tokenize(text: str) -> list[str]:
    """Cut a text into tokens; joined they are the text."""
    return _TOKEN.findall(text)


def common(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the tokens that two sequences begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (one, other) in pairs if one != other), min(len(first), len(second)))


@dataclass(slots=True)
class SlotCache:
    """State of one llama.cpp slot: the tokens that were evaluated last, in order."""

    rewind: Rewind
    held: list[str] = field(default_factory=list)

    def begin(self, prompt: Sequence[str]) -> int:
        """Keep what serves the prompt; return how many of its tokens that is. One is always evaluated."""
        shared = common(self.held, prompt)
        if self.rewind == "any token":
            kept = min(shared, len(prompt) - 1)
        else:
            kept = shared if shared == len(self.held) < len(prompt) else 0
        self.held = list(prompt[:kept])
        return kept

    def take(self, tokens: Sequence[str]) -> None:
        self.held += tokens


@dataclass(slots=True)
class BlockCache:
    """Prefix cache of vLLM: whole blocks, each known by everything up to its end; no block is ever lost."""

    _known: set[int] = field(default_factory=set)

    def find(self, prompt: Sequence[str]) -> int:
        """Count the tokens of the prompt that need no evaluation. One is always evaluated."""
        found = 0
        for key in _blocks(prompt[: len(prompt) - 1]):
            if key not in self._known:
                break
            found += BLOCK_TOKENS
        return found

    def take(self, tokens: Sequence[str]) -> None:
        """Keep the whole blocks of a sequence that has been evaluated."""
        self._known.update(_blocks(tokens))


def _blocks(tokens: Sequence[str]) -> list[int]:
    keys, key = [], 0
    for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
        key = hash((key, *tokens[end - BLOCK_TOKENS : end]))
        keys.append(key)
    return keys


# -------------------------------------------------------------------------------------- the template


def call_text(name: str, arguments: str) -> str:
    """Return a tool call as the model writes it."""
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'


def render(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Any] = (),
    *,
    open_answer: bool = True,
    final_is_open: bool = False,
) -> str:
    """Write a conversation as a ChatML prompt, the way Nemotron's template does.

    Args:
        messages: In OpenAI's shape.
        tools: Written before everything else.
        open_answer: True if the prompt ends with the beginning of an answer.
        final_is_open: True if the last message, an assistant's, is left unfinished.
    """
    head = f"{_START}system\n# Tools\n{json.dumps(list(tools))}{_END}\n" if tools else ""
    parts = [head, *map(_rendered, messages)]
    if final_is_open:
        parts[-1] = parts[-1].removesuffix(f"{_END}\n")
    elif open_answer:
        parts.append(f"{_START}assistant\n{_NO_THOUGHTS}")
    return "".join(parts)


def _rendered(message: Mapping[str, Any]) -> str:
    text = text_of(message)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        text += call_text(function["name"], function["arguments"])
    thoughts = _NO_THOUGHTS if message["role"] == "assistant" and "</think>" not in text else ""
    return f"{_START}{message['role']}\n{thoughts}{text}{_END}\n"


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, the parts of a message in parts joined."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)
