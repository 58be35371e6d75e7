"""One caller of the NeMo engine, and its share of a step.

A work item becomes one job; a job takes one chunk per round, so that work of any size is done in as many
rounds as it takes, and work as it is wanted in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nemotron_speech.engines.base import AsrWork, Flush, Word
from nemotron_speech.engines.nemo_asr.decode import DecodedToken
from nemotron_speech.engines.nemo_asr.encode import ChunkPlan
from nemotron_speech.engines.nemo_asr.mel import AudioTail
from nemotron_speech.engines.nemo_asr.text import TokenTranscript
from nemotron_speech.errors import EngineError


class NemoStream:
    """One caller: its place in the arena, the audio its next chunk needs, and what it said."""

    def __init__(
        self,
        slot: int,
        tail: AudioTail,
        transcript: TokenTranscript,
        plan: ChunkPlan,
        sample_rate: int,
        prompt: int = 0,
    ) -> None:
        self.slot: int | None = slot
        self.tail = tail
        self.transcript = transcript
        self.plan = plan
        self.prompt = prompt
        self._sample_rate = sample_rate
        self._utterance_start = 0

    @property
    def wanted_samples(self) -> int:
        """Samples until the next chunk is complete: exact, and different for the first chunk."""
        return self.tail.missing(self.plan.frames(self.tail.frames))

    def place(self, tokens: Sequence[DecodedToken]) -> list[DecodedToken]:
        """Return `tokens` with their frames counted from the start of the utterance."""
        before = self.plan.repeated(self.tail.frames)
        return [replace(token, frame=token.frame + before) for token in tokens]

    def words(self, transcript: TokenTranscript) -> tuple[Word, ...]:
        """Return the words of `transcript`, none of which ends after the audio does."""
        end = self._milliseconds(self._utterance_start + self.tail.received)
        return tuple(word if word.end_ms <= end else replace(word, end_ms=end) for word in transcript.words)

    def restart(self) -> None:
        """Begin another utterance."""
        self._utterance_start += self.tail.received
        self.tail.restart()
        self.transcript.restart(self._milliseconds(self._utterance_start))

    def _milliseconds(self, samples: int) -> int:
        return round(samples * 1000 / self._sample_rate)


@dataclass(slots=True)
class EncoderJob:
    """One work item on its way through the rounds of a step."""

    stream: NemoStream
    flush: Flush
    ending: TokenTranscript | None = None
    """Transcript as if the utterance ended here; the stream's own transcript does not include it yet."""
    error: EngineError | None = None
    _done: bool = False

    @classmethod
    def of(cls, item: AsrWork) -> EncoderJob:
        """Take in the audio of a work item."""
        stream = item.stream
        assert isinstance(stream, NemoStream)
        job = cls(stream, item.flush)
        if stream.slot is None:
            job.fail(EngineError("the stream is closed"))
            return job
        try:
            stream.tail.push(item.pcm)
        except ValueError as error:
            job.fail(EngineError(f"the audio is not 16-bit samples: {error}"))
        return job

    def next_row(self) -> Row | None:
        """Return the chunk of the next round; None when there is no further round."""
        if self._done:
            return None
        tail, whole = self.stream.tail, self.stream.plan.frames(self.stream.tail.frames)
        if not tail.missing(whole):
            return Row(self, whole, partial=False)
        self._done = True
        rest = 0 if self.flush is Flush.NONE else tail.remaining_frames
        return Row(self, rest, partial=True) if rest else None

    def fail(self, error: EngineError) -> None:
        self.error, self._done = error, True


@dataclass(frozen=True, slots=True)
class Row:
    """One stream's chunk in a batch."""

    job: EncoderJob
    frames: int
    partial: bool
    """True if the chunk is shorter than the plan says: only to end, or to look ahead of, an utterance."""

    @property
    def stream(self) -> NemoStream:
        return self.job.stream

    @property
    def kind(self) -> int:
        """Rows of one kind step together."""
        return self.stream.plan.kind(self.stream.tail.frames)

    @property
    def slot(self) -> int:
        assert self.stream.slot is not None
        return self.stream.slot

    def apply(self, said: Sequence[DecodedToken]) -> None:
        """Take back what the step heard."""
        tokens = self.stream.place(said)
        if self.partial:
            self.job.ending = self.stream.transcript.extended(tokens)
        else:
            self.stream.transcript.extend(tokens)
            self.stream.tail.take(self.frames)
