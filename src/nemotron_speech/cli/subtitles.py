"""Transcripts as files: text, JSON, SubRip (SRT) and WebVTT."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nemotron_speech.client.recording import HeardPart, TimedWord

LINE_CHARACTERS = 42
"""Characters of a subtitle's line, as broadcasters have it; a subtitle has two."""
_CUE_CHARACTERS = 2 * LINE_CHARACTERS
_CUE_MS = 7000
_GAP_MS = 800
"""Silence, in milliseconds, behind which another subtitle begins."""
ESTIMATED_NOTE = "The times of words are estimates."


class TranscriptFormat(StrEnum):
    """Format of a transcript."""

    TEXT = "text"
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"


class WordTimes(StrEnum):
    """Origin of the times of words."""

    MODEL = "model"
    ESTIMATED = "estimated"
    """Estimates of the recogniser, from when it came to know a word."""
    NONE = "none"
    """The recogniser tells none; subtitles share out a part's time by the length of its words."""


@dataclass(frozen=True, slots=True)
class FileTranscript:
    """Transcript of one sound file."""

    name: str
    seconds: float
    parts: Sequence[HeardPart]
    estimates_times: bool = False
    """True if the recogniser says that its word times are estimates."""

    @property
    def text(self) -> str:
        return " ".join(part.text for part in self.parts if part.text)

    @property
    def word_times(self) -> WordTimes:
        if not any(part.words for part in self.parts):
            return WordTimes.NONE
        return WordTimes.ESTIMATED if self.estimates_times else WordTimes.MODEL

    @property
    def has_estimates(self) -> bool:
        """True if any time in its subtitles is an estimate."""
        return self.word_times is not WordTimes.MODEL or any(p.text and not p.words for p in self.parts)


def document(transcript: FileTranscript, form: TranscriptFormat) -> str:
    """Return the transcript as a file's content, with a line break at its end."""
    match form:
        case TranscriptFormat.TEXT:
            return transcript.text + "\n" if transcript.text else ""
        case TranscriptFormat.JSON:
            return json.dumps(_as_json(transcript), ensure_ascii=False) + "\n"
        case TranscriptFormat.SRT:
            return "\n".join(_srt(number, cue) for number, cue in enumerate(cues(transcript), 1))
        case TranscriptFormat.VTT:
            note = [f"NOTE {ESTIMATED_NOTE}\n"] if transcript.has_estimates else []
            return "\n".join(["WEBVTT\n", *note, *map(_vtt, cues(transcript))])


def _as_json(transcript: FileTranscript) -> dict[str, object]:
    return {
        "file": transcript.name,
        "duration_ms": round(transcript.seconds * 1000),
        "text": transcript.text,
        "word_times": transcript.word_times,
        "segments": [
            {
                "start_ms": part.start_ms,
                "end_ms": part.end_ms,
                "text": part.text,
                "words": [_word(word) for word in part.words],
            }
            for part in transcript.parts
            if part.text
        ],
    }


def _word(word: TimedWord) -> dict[str, object]:
    fields: dict[str, object] = {"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms}
    return fields if word.confidence is None else fields | {"confidence": word.confidence}


def cues(transcript: FileTranscript) -> Iterator[TimedWord]:
    """Yield the subtitles: two lines and 7 s at most, never across a silence or the end of a part."""
    for part in transcript.parts:
        gathered: list[TimedWord] = []
        for word in part.words or _shared_out(part):
            if gathered and _begins_another(gathered, word):
                yield _joined(gathered)
                gathered = []
            gathered.append(word)
        if gathered:
            yield _joined(gathered)


def _begins_another(gathered: Sequence[TimedWord], word: TimedWord) -> bool:
    length = sum(len(one.text) + 1 for one in gathered) + len(word.text)
    return (
        length > _CUE_CHARACTERS
        or word.end_ms - gathered[0].start_ms > _CUE_MS
        or word.start_ms - gathered[-1].end_ms > _GAP_MS
        or (gathered[-1].text.endswith((".", "!", "?")) and length > LINE_CHARACTERS)
    )


def _joined(words: Sequence[TimedWord]) -> TimedWord:
    return TimedWord(" ".join(word.text for word in words), words[0].start_ms, words[-1].end_ms)


def _shared_out(part: HeardPart) -> Iterator[TimedWord]:
    """Yield the words of a part, each with a share of its time by its length."""
    words = part.text.split()
    total = sum(len(word) + 1 for word in words)
    before = 0
    for word in words:
        after = before + len(word) + 1
        yield TimedWord(word, _at(part, before / total), _at(part, after / total))
        before = after


def _at(part: HeardPart, share: float) -> int:
    return part.start_ms + round((part.end_ms - part.start_ms) * share)


def _srt(number: int, cue: TimedWord) -> str:
    return f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n{_lines(cue.text)}\n"


def _vtt(cue: TimedWord) -> str:
    text = cue.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n{_lines(text)}\n"


def _time(ms: int, point: str) -> str:
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _lines(text: str) -> str:
    """Break a subtitle into lines at the space nearest to its middle."""
    if len(text) <= LINE_CHARACTERS or " " not in text:
        return text
    middle = min(_spaces(text), key=lambda at: abs(at - len(text) / 2))
    return f"{text[:middle]}\n{text[middle + 1 :]}"


def _spaces(text: str) -> Iterable[int]:
    return (at for at, character in enumerate(text) if character == " ")
