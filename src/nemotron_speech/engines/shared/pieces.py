"""Speak texts one piece after the other, for models that make a sentence or a clause at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, SynthesisMode, TtsResult, Word
from nemotron_speech.engines.shared.clauses import split_clauses
from nemotron_speech.engines.shared.isolation import all_or_each
from nemotron_speech.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(slots=True, eq=False)
class PieceStream:
    """One segment being spoken."""

    segment: Segment
    pieces: deque[Any]
    """Pieces still to be spoken: texts, where an engine does not say otherwise."""
    voice: Any = None
    """Voice, in the model's own form."""
    unspoken: tuple[str, ...] = ()
    held: list[bytes] = field(default_factory=list)
    """Audio that leaves with the end of the segment."""
    samples: int = 0
    """Samples made so far."""
    words: list[Word] | None = field(default_factory=list)
    """Words spoken so far; None once the times in a piece were unknown."""

    def note(self, words: Sequence[Word]) -> None:
        """Take in the words of a piece, timed within the segment; none where that cannot be told."""
        if self.words is not None:
            self.words.extend(words)
        if not words:
            self.words = None

    def stop(self) -> None:
        """Speak no more of it."""
        self.pieces.clear()
        self.words = None

    def deliver(self, pcm: bytes, *, done: bool) -> TtsResult:
        """Return the audio of a step as the segment's mode wants it."""
        self.samples += len(pcm) // 2
        if self.segment.mode is SynthesisMode.BATCH:
            self.held.append(pcm)
            pcm = b"".join(self.held) if done else b""
        return TtsResult(pcm, done, tuple(self.words or ()), self.unspoken) if done else TtsResult(pcm)


def pieces_of(
    text: str, longest: int, has_sound: Callable[[str], bool]
) -> tuple[deque[str], tuple[str, ...]]:
    """Return the clauses of a text, of `longest` characters at most, and the words that have no sound."""
    words = text.split()
    unspoken = [word for word in words if any(map(str.isalnum, word)) and not has_sound(word)]
    spoken = " ".join(word for word in words if word not in unspoken)
    return deque(split_clauses(spoken, longest)), tuple(dict.fromkeys(unspoken))


def silence(sample_rate: int, ms: int) -> bytes:
    """Return PCM16LE of so much silence."""
    return bytes(2 * (sample_rate * ms // 1000))


def speak_pieces(
    streams: Sequence[PieceStream], speak: Callable[[PieceStream, Any], npt.NDArray[np.float32]]
) -> list[TtsResult | EngineError]:
    """Speak the next piece of each segment; `speak` returns its samples in -1..1.

    A segment whose piece fails answers with the error and is over.
    """
    return [_next_piece(stream, speak) for stream in streams]


def _next_piece(
    stream: PieceStream, speak: Callable[[PieceStream, Any], npt.NDArray[np.float32]]
) -> TtsResult | EngineError:
    made: list[bytes] = []

    def act(streams: Sequence[PieceStream]) -> None:
        made.append(to_int16(speak(stream, stream.pieces[0])).tobytes())
        stream.pieces.popleft()

    if stream.pieces and (failed := all_or_each(act, [stream])):
        stream.pieces.clear()
        return failed[stream]
    return stream.deliver(b"".join(made), done=not stream.pieces)
