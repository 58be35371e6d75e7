"""Segments asked of a voice and not said yet, and the rest of one when its server is lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pipecat.frames.frames import TTSTextFrame
from pipecat.utils.text.base_text_aggregator import TextType

from nemotron_speech.client.pace import Pace
from nemotron_speech.protocol.tts import PLAIN_RATE, Mode
from nemotron_speech.text import speakable
from pipecat_bots.context.spoken_text import SpokenText


@dataclass(eq=False)
class VoiceSegment:
    """One text to be spoken."""

    text: str
    mode: Mode
    chunk_id: int | None
    since: float
    """Time the segment was given to the voice, on the loop's clock."""
    asked_at: float = 0.0
    """Time the server was last asked for it, on the loop's clock."""
    frame: TTSTextFrame | None = None
    """Text as it enters the conversation."""
    heard: SpokenText | None = None
    held: bytearray = field(default_factory=bytearray)
    """Audio of a segment that comes in one piece, until its words are known."""
    audio_ms: float = 0.0
    failed: bool = False
    is_released: bool = False
    """True if the model has been told to go on."""

    def begin_again(self) -> bool:
        """Prepare to ask for what has not been heard; return whether that is anything."""
        self.held.clear()
        self.audio_ms = 0.0
        if self.heard is None or not self.heard.said:
            return True
        self.heard.begin_again()
        self.text = speakable(self.heard.unsaid)
        return bool(self.text)


@dataclass(eq=False)
class VoiceUtterance:
    """The segments of one audio context."""

    segments: deque[VoiceSegment] = field(default_factory=deque)
    """Segments given to the voice and not complete."""
    sample_rate: int = PLAIN_RATE
    plays_until: float = 0.0
    pause_due: bool = False
    is_finished: bool = False
    """True if no more text comes."""

    def waiting_s(self, pace: Pace) -> float:
        """Return how much audio is expected of what was asked for, beyond that which plays."""
        return sum(max(0.0, pace.audio_s(len(s.text)) - s.audio_ms / 1000) for s in self.segments)


def text_frame(text: str, source: TTSTextFrame) -> TTSTextFrame:
    """Return `text`, a piece of `source`, with its own spaces and everything else as in `source`."""
    frame = TTSTextFrame(text, TextType.WORD, context_id=source.context_id, segment_id=source.segment_id)
    frame.includes_inter_frame_spaces = True
    frame.append_to_context = source.append_to_context
    frame.will_be_spoken = source.will_be_spoken
    return frame


def unspoken_frame(segment: VoiceSegment) -> TTSTextFrame | None:
    """Return what was not heard of a segment, for the screen only: it is not part of the conversation."""
    if segment.frame is None or segment.heard is None or not segment.heard.unsaid:
        return None
    frame = text_frame(segment.heard.unsaid, segment.frame)
    frame.append_to_context = False
    return frame
