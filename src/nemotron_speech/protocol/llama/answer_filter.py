"""The one filter between a language model's text and a listener: words pass, thoughts and tool calls do not.

Text is read as it comes. What may be a mark is held back until that is known; what sounds like thoughts at
the beginning of an answer is held until it has gone on for a sentence. An end tag of thoughts that nothing
began cannot be foreseen: all words before it were thoughts, and `Unsaid` takes them back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

from nemotron_speech.protocol.llama import marks, thoughts
from nemotron_speech.protocol.llama.answer_words import AnswerPart, Trust, WordOutlet
from nemotron_speech.protocol.llama.code_blocks import (
    MOST_CHARACTERS,
    BlockKind,
    CodeBlocks,
    block_end,
    fence_names_a_call,
)
from nemotron_speech.protocol.llama.marks import MarkKind, TextMark
from nemotron_speech.protocol.llama.written_calls import Offered, read_calls


class _State(Enum):
    WORDS = auto()
    LABELLED = auto()
    """Within thoughts that a label began."""
    THOUGHT = auto()
    CALL = auto()
    BLOCK = auto()
    HEADER = auto()
    CHANNEL = auto()
    OTHERS = auto()
    """Within words that are not the model's own."""


_ROLES = frozenset({"assistant", "model", "ai", "bot", "gpt", ""})
_HEADER = re.compile(r"\s*(?P<role>[A-Za-z_.\-]*)(?P<rest>[^\n<]{0,80})(?:\n|(?=<[|｜]))")
_CHANNEL = re.compile(r"(?P<header>[^\n]{0,200}?)(?:<\|message\|>|\n)")
_RECIPIENT = re.compile(r"\bto=(?P<name>[\w.\-]+)")
_BARE_CHANNEL = re.compile(r"\s*analysis(?=[A-Z])")
_PLAIN = re.compile(r"[^<\[◁{`\n]*")
"""Text that neither is nor begins anything but words, within a line."""
_BARE_ANSWER = re.compile(r"assistant\s*final")
_THOUGHT_CHANNELS = frozenset({"analysis", "thought", "thoughts", "thinking", "reasoning"})
_HEADER_LIMIT = 240
"""Characters after which a role's or a channel's name is none."""


class AnswerFilter:
    """Takes the streamed text of one answer apart.

    Args:
        tools: Tools that the model may call.
        expects_thoughts: Whether every answer of this model begins with thoughts that no tag opens.
    """

    def __init__(self, tools: Offered | None = None, *, expects_thoughts: bool = False) -> None:
        self._tools: Offered = tools or {}
        self._blocks = CodeBlocks(self._tools)
        self._words_out = WordOutlet(expects_thoughts=expects_thoughts)
        self.had_orphan = False
        """True once an end tag came that nothing had opened."""
        self._steps: dict[_State, Callable[[bool], bool]] = {
            _State.WORDS: self._words,
            _State.LABELLED: self._labelled,
            _State.THOUGHT: self._thought,
            _State.CALL: self._call,
            _State.BLOCK: self._block,
            _State.HEADER: self._header,
            _State.CHANNEL: self._channel,
            _State.OTHERS: self._others,
        }
        self._reset()

    def _reset(self) -> None:
        self._state = _State.WORDS
        self._held = ""
        """Text that was not understood yet."""
        self._key = ""
        self._kind = BlockKind.JSON
        self._recipient: re.Match[str] | None = None
        """Addressee of the message that begins, as its header names it."""
        self._has_other_end = False
        """True once the open thoughts met an end tag of another name."""
        self._had_thoughts = False

    def feed(self, text: str) -> list[AnswerPart]:
        """Take in the next piece; return what it makes certain."""
        out = self._words_out
        is_plain = self._state is _State.WORDS and not (self._held or out.at_line_start)
        if is_plain and out.trust is Trust.SETTLED and _PLAIN.fullmatch(text):
            out.say(text)
            return out.take()
        self._held += text
        return self._run(final=False)

    def finish(self) -> list[AnswerPart]:
        """Return what the end of the answer makes certain."""
        return self._run(final=True)

    def resume(self) -> None:
        """Forget what was held back: the model is asked to go on behind the words it gave so far."""
        self._reset()
        self._words_out.resume()

    def _run(self, *, final: bool) -> list[AnswerPart]:
        while self._steps[self._state](final):
            pass
        if final:
            self._words_out.settle()
        return self._words_out.take()

    # ------------------------------------------------------------------------------------- words

    def _words(self, final: bool) -> bool:
        """Give out words up to the next mark or block. Returns whether another state goes on."""
        if self._words_out.trust is Trust.UNREAD and (announced := self._announced(final)) is not None:
            return announced
        mark = marks.find(self._held)
        block = self._blocks.find(self._held, at_line_start=self._words_out.at_line_start)
        if block is not None and (mark is None or block.start < mark.start):
            self._words_out.say(self._take(block.start))
            self._state, self._kind = _State.BLOCK, block.kind
            return True
        if mark is not None:
            return self._take_mark(mark, final)
        self._words_out.say(self._take(len(self._held) if final else self._certain_end()))
        return False

    def _announced(self, final: bool) -> bool | None:
        """Look whether thoughts without a tag begin the answer; None to go on reading words."""
        if not self._held.strip():
            return None if final else False
        if _BARE_CHANNEL.match(self._held):
            self._state, self._key = _State.THOUGHT, "assistantfinal"
            return True
        is_label = thoughts.may_be_label(self._held)
        if is_label is None and not final:
            return False
        if is_label:
            self._state = _State.LABELLED
            return True
        return None

    def _certain_end(self) -> int:
        here = self._blocks.open_end(self._held, at_line_start=self._words_out.at_line_start)
        return min(here, marks.open_end(self._held))

    def _take(self, end: int) -> str:
        taken, self._held = self._held[:end], self._held[end:]
        return taken

    def _gap(self) -> None:
        """Go on with words behind something that is not said."""
        self._state = _State.WORDS
        self._words_out.leave_gap()

    # ------------------------------------------------------------------------------------- marks

    def _take_mark(self, mark: TextMark, final: bool) -> bool:
        if mark.kind is MarkKind.THOUGHT_END:
            return self._orphan(mark, final)
        if mark.kind is MarkKind.MESSAGE and self._is_channel_name(self._held[: mark.start]):
            self._words_out.doubted = ""
            self._state = _State.CHANNEL
            return True
        self._words_out.say(self._take(mark.start))
        opener = self._take(mark.end - mark.start)
        self._gap()
        match mark.kind:
            case MarkKind.THOUGHT:
                self._state, self._key, self._has_other_end = _State.THOUGHT, mark.key, False
            case MarkKind.CALL:
                self._state, self._key = _State.CALL, mark.key
                self._held = (opener if "=" in opener else "") + self._held
            case MarkKind.HEADER:
                self._state = _State.HEADER
            case MarkKind.CHANNEL:
                self._state = _State.CHANNEL
            case MarkKind.OTHERS:
                self._state = _State.OTHERS
        return True

    def _is_channel_name(self, text: str) -> bool:
        """Return whether nothing but a channel's name stands before its message."""
        doubted = self._words_out.doubted
        words = (doubted + text).split()
        is_name = bool(words) and words[-1] in {*_THOUGHT_CHANNELS, "final", "commentary"}
        if is_name and not self._words_out.has_given and len(words) <= 2:
            self._held = f"{doubted}{self._held}"
            return True
        return False

    def _orphan(self, mark: TextMark, final: bool) -> bool:
        """Take the words before an end tag for thoughts, once it is known that an answer follows."""
        if not self._held[mark.end :].strip():
            if not final:
                return False
            if self._had_thoughts:  # a tag too many at the end
                self._words_out.say(self._take(mark.start))
                self._held = ""
                return False
        self._held = self._held[mark.end :]
        self._words_out.unsay()
        self.had_orphan = self._had_thoughts = True
        self._state = _State.WORDS
        return True

    # --------------------------------------------------------------------------- what is not said

    def _thought(self, final: bool) -> bool:
        if self._key == "assistantfinal":
            return self._bare_thought(final)
        at = 0
        while mark := marks.find(self._held, at):
            if self._ends_thought(mark):
                is_next = mark.kind in (MarkKind.HEADER, MarkKind.CHANNEL)
                self._stop_thinking(mark.start if is_next else mark.end)
                return True
            at = mark.end
            if mark.kind is MarkKind.THOUGHT_END:
                self._held, self._has_other_end, at = self._held[at:], True, 0
        return self._think_on(final)

    def _stop_thinking(self, end: int) -> None:
        self._held = self._held[end:]
        self._had_thoughts = True
        self._words_out.trust_what_follows()
        self._gap()

    def _ends_thought(self, mark: TextMark) -> bool:
        if self._key == "channel":
            return mark.kind in (
                MarkKind.END,
                MarkKind.CHANNEL_END,
                MarkKind.HEADER,
                MarkKind.CHANNEL,
            )
        return mark.kind is MarkKind.THOUGHT_END and mark.key == self._key

    def _think_on(self, final: bool) -> bool:
        """Wait for the end tag. One of another name counts where the right one never comes."""
        if final:
            self._stop_thinking(0 if self._has_other_end else len(self._held))
            return self._has_other_end
        if not self._has_other_end:
            self._held = self._held[marks.open_end(self._held) :]
        return False

    def _marks(self, at: int) -> list[TextMark]:
        found: list[TextMark] = []
        while mark := marks.find(self._held, at):
            found.append(mark)
            at = mark.end
        return found

    def _bare_thought(self, final: bool) -> bool:
        if end := _BARE_ANSWER.search(self._held):
            self._stop_thinking(end.end())
            return True
        self._held = "" if final else self._held[-len("assistant final") :]
        return False

    def _labelled(self, final: bool) -> bool:
        if not (final or thoughts.may_hold_answer(self._held)):
            return False
        block = thoughts.labelled(self._held)
        if block.action is not None and (final or block.answer is not None):
            call = read_calls(f"{block.action[0]} {block.action[1] or '{}'}", self._tools)
            if call:
                self._words_out.call(call)
                self._held, self._state = "", _State.OTHERS
                return False
        if not block.answer and not final:
            return False
        self._held = block.answer if block.answer is not None else thoughts.unanswered(self._held)
        self._stop_thinking(0)
        return True

    def _call(self, final: bool) -> bool:
        start = marks.find(self._held) if "=" in self._held[:40] and self._held.startswith("<") else None
        at = start.end if start is not None else 0
        while mark := marks.find(self._held, at):
            if mark.kind is MarkKind.END or (mark.kind is MarkKind.CALL_END and mark.key == self._key):
                break
            at = mark.end
        if mark is None and not final:
            return False
        body = self._take(mark.start if mark is not None else len(self._held))
        if mark is not None:
            self._take(mark.end - mark.start)
        self._words_out.call(read_calls(body, self._tools) or [])
        self._gap()
        return True

    def _block(self, final: bool) -> bool:
        end = block_end(self._held, self._kind)
        if end is None:
            is_text = self._kind is not BlockKind.FENCE and len(self._held) > MOST_CHARACTERS
            if not (final or is_text):
                return False
            end = len(self._held)
        calls = read_calls(self._held[:end], self._tools)
        if calls is None and self._kind is BlockKind.FENCE:
            calls = [] if fence_names_a_call(self._held[:end]) else None
        if calls is None:
            self._say_code(end)
        else:
            self._take(end)
            self._words_out.call(calls)
            self._gap()
        return True

    def _say_code(self, end: int) -> None:
        """Give out a block that is no call: a fenced one as it is, what was no block as words."""
        is_fence = self._kind is BlockKind.FENCE
        first = end if is_fence else next(n for n, c in enumerate(self._held, 1) if c in "{[(")
        self._state = _State.WORDS
        self._words_out.say(self._take(first))
        self._words_out.at_line_start = False

    # ---------------------------------------------------------------------------- roles, channels

    def _header(self, final: bool) -> bool:
        header = _HEADER.match(self._held)
        if header is None and not final and len(self._held) < _HEADER_LIMIT:
            return False
        role = header["role"].lower() if header else ""
        rest = self._take(header.end()) if header else ""
        self._gap()
        self._recipient = _RECIPIENT.search(rest)
        if role not in _ROLES:
            self._state = _State.OTHERS
        return True

    def _channel(self, final: bool) -> bool:
        header = _CHANNEL.match(self._held)
        if header is None:
            if not final and len(self._held) < _HEADER_LIMIT:
                return False
            self._held = "" if final else self._held
            self._gap()
            return not final
        self._take(header.end())
        self._gap()
        recipient = _RECIPIENT.search(header["header"]) or self._recipient
        self._recipient = None
        words = [word for word in re.findall(r"[\w=.\-]+", header["header"]) if "=" not in word]
        if recipient is not None and recipient["name"] not in ("all", "user", "assistant"):
            self._state, self._key = _State.CALL, "channel"
            self._held = f"{recipient['name']} {self._held}"
        elif _THOUGHT_CHANNELS & {word.lower() for word in words}:
            self._state, self._key = _State.THOUGHT, "channel"
        else:
            self._words_out.trust_what_follows()
        return True

    def _others(self, final: bool) -> bool:
        for mark in self._marks(at=0):
            if mark.kind in (MarkKind.HEADER, MarkKind.CHANNEL, MarkKind.ANSWER):
                self._held = self._held[mark.start :]
                self._state = _State.WORDS
                return True
        self._held = "" if final else self._held[marks.open_end(self._held) :]
        return False
