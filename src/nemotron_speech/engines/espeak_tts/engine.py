"""Speak with espeak-ng: a small formant synthesiser that ships its data and runs on anything.

A segment is spoken clause by clause: a step synthesises at most one clause (a few milliseconds) and gives out
`STEP_MS` of audio, so cancellation is prompt and segments interleave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from nemotron_speech.engines.base import Segment, SynthesisMode, TtsInfo, TtsResult, TtsStream, Word
from nemotron_speech.engines.shared.clauses import split_clauses
from nemotron_speech.engines.shared.espeak_library import Clause, Delivery, EspeakLibrary, espeak_library
from nemotron_speech.errors import EngineError, TooLarge

STEP_MS = 60
"""Audio of one step in stream mode."""

MAX_CLAUSE = 120
"""Characters synthesised in one go: about 8 s of audio, about 10 ms of work."""

EDGE_MS = 30
"""Silence kept before the first and after the last sound of a clause."""

SENTENCE_PAUSE_MS, CLAUSE_PAUSE_MS = 250, 110

_SILENCE = 160
"""Samples of smaller magnitude are silence (-46 dBFS)."""

_LARGEST_BATCH = 32
"""Clauses in one step; a step of more would keep a newcomer waiting."""
_WORDS_PER_MINUTE = 165
_SPEEDS = (0.5, 2.7)
"""espeak-ng can do 80 to 450 words per minute."""

_MAX_TEXT = 20_000
_MAX_IN_WORDS = 10 * _MAX_TEXT
"""Characters of the longest text once its digits and signs are in words, as `Segment.text` has them."""

_PEAK = 0.89


@dataclass(frozen=True, slots=True)
class _Speaker:
    variant: str
    pitch: int


_SPEAKERS = {
    "aria": _Speaker("f2", 52),
    "sofia": _Speaker("f3", 60),
    "john": _Speaker("m3", 42),
    "jason": _Speaker("m1", 50),
    "leo": _Speaker("m7", 34),
}

_DEFAULT_LANGUAGE = "en"
_ALIASES = {"en": "en-us", "pt": "pt-br", "zh-cn": "zh", "zh-tw": "zh"}
"""Language tag to the voice it means, where espeak-ng would choose another one or has none."""


@dataclass(slots=True)
class _Stream:
    clauses: deque[str]
    delivery: Delivery
    whole: bool
    audio: bytearray = field(default_factory=bytearray)
    sent: int = 0
    """Bytes already given out."""
    pause_ms: int = 0
    words: list[Word] = field(default_factory=list)


class EspeakEngine:
    """A `TtsEngine` over espeak-ng.

    Voices are variants of espeak-ng's voice for the language of the segment.
    """

    def __init__(self, capacity: int = 64) -> None:
        self._capacity = capacity

    @property
    def info(self) -> TtsInfo:
        library = espeak_library()
        return TtsInfo(
            name="espeak",
            model=f"espeak-ng {library.version}",
            sample_rate=library.sample_rate,
            voices=tuple(_SPEAKERS),
            languages=("en", *sorted({*library.languages, *_ALIASES} - {"en"})),
            capacity=self._capacity,
            max_batch=min(self._capacity, _LARGEST_BATCH),
            max_text=_MAX_TEXT,
            speeds=_SPEEDS,
        )

    def load(self) -> None:
        import numpy  # noqa: F401 -- its import takes a second, better now than in the first step

        espeak_library()

    def open(self, segment: Segment) -> _Stream:
        """Start a segment. Raises BadRequest for an unknown voice or language, TooLarge for a long text."""
        info = self.info
        if len(segment.text) > _MAX_IN_WORDS:
            raise TooLarge(f"a segment holds at most {_MAX_IN_WORDS} characters, not {len(segment.text)}")
        language = _language(segment.language, info.languages)
        replace(segment, language=language).check(info)
        return _Stream(
            clauses=deque(split_clauses(segment.text, MAX_CLAUSE)),
            delivery=_delivery(segment, language),
            whole=segment.mode is SynthesisMode.BATCH,
        )

    def step(self, streams: Sequence[TtsStream]) -> list[TtsResult | EngineError]:
        library = espeak_library()
        return [_advance(stream, library) for stream in streams if isinstance(stream, _Stream)]

    def close(self, stream: TtsStream) -> None:
        if isinstance(stream, _Stream):
            stream.clauses.clear()
            stream.audio.clear()
            stream.words.clear()

    def unload(self) -> None:
        """Release nothing: the library belongs to the process."""


def _language(wanted: str, languages: Sequence[str]) -> str:
    """Return the listed language that `wanted` is, or a dialect of; else `wanted` itself."""
    tag = wanted.lower().replace("_", "-")
    return next((found for found in (tag, tag.partition("-")[0]) if found in languages), wanted)


def _delivery(segment: Segment, language: str) -> Delivery:
    speaker = _SPEAKERS[segment.voice]
    rate = round(_WORDS_PER_MINUTE * segment.speed)
    identifier = espeak_library().languages[_ALIASES.get(language, language)]
    return Delivery(f"{identifier}+{speaker.variant}", rate, speaker.pitch, volume=100)


def _advance(stream: _Stream, library: EspeakLibrary) -> TtsResult | EngineError:
    step_bytes = 2 * library.sample_rate * STEP_MS // 1000
    if stream.clauses and (stream.whole or len(stream.audio) < step_bytes):
        try:
            _speak_clause(stream, library)
        except EngineError as error:
            return error
    if stream.clauses and stream.whole:
        return TtsResult(b"")
    return _give(stream, len(stream.audio) if stream.whole else step_bytes)


def _give(stream: _Stream, count: int) -> TtsResult:
    pcm = bytes(stream.audio[:count])
    del stream.audio[:count]
    stream.sent += len(pcm)
    done = not stream.clauses and not stream.audio
    return TtsResult(pcm, done, tuple(stream.words) if done else ())


def _speak_clause(stream: _Stream, library: EspeakLibrary) -> None:
    text = stream.clauses.popleft()
    clause = library.speak(text, stream.delivery)
    first, pcm = _trim(clause.pcm, 2 * (library.sample_rate * EDGE_MS // 1000))
    if not pcm:
        return
    rate_ms = library.sample_rate / 1000
    stream.audio += bytes(2 * round(stream.pause_ms * rate_ms))
    start = (stream.sent + len(stream.audio)) // 2
    stream.audio += _level(pcm)
    stream.words += _words(text, clause, start - first // 2, start + len(pcm) // 2, rate_ms)
    pause = SENTENCE_PAUSE_MS if text[-1] in ".!?…。！？" else CLAUSE_PAUSE_MS
    stream.pause_ms = max(0, pause - 2 * EDGE_MS)


def _trim(pcm: bytearray, edge: int) -> tuple[int, bytearray]:
    """Return where the sound begins (bytes) and the audio from there, `edge` bytes of silence kept."""
    import numpy as np

    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)) > _SILENCE)
    if not len(loud):
        return 0, bytearray()
    first = max(0, 2 * int(loud[0]) - edge)
    return first, pcm[first : 2 * int(loud[-1]) + 2 + edge]


def _level(pcm: bytearray) -> bytes:
    """Return the audio, scaled down where its peak is above `_PEAK`."""
    import numpy as np

    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    peak = float(np.abs(samples).max()) / 32768
    if peak <= _PEAK:
        return bytes(pcm)
    return (samples * (_PEAK / peak)).astype(np.int16).tobytes()


def _words(text: str, clause: Clause, origin: int, end: int, rate_ms: float) -> list[Word]:
    """Return the words with times: each lasts until the next begins."""
    spoken = _merged(clause.words)
    starts = [min(end, max(0, origin + sample)) for _, _, sample in spoken]
    words: list[Word] = []
    for (position, length, _), start, stop in zip(spoken, starts, [*starts[1:], end], strict=True):
        words.append(Word(text[position : position + length], round(start / rate_ms), round(stop / rate_ms)))
    return words


def _merged(events: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Keep the first event of each word: a word that is spelled out has one per letter."""
    return [event for index, event in enumerate(events) if not index or events[index - 1][0] != event[0]]
