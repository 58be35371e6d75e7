"""Frames of an utterance: its sound, the text of each word behind the sound of it, and its pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pipecat.frames.frames import AggregatedTextProgressFrame, Frame, TTSAudioRawFrame

from nemotron_speech.client.pace import Pace
from pipecat_bots.context.spoken_text import MS_PER_CHARACTER, SpokenText, cut
from pipecat_bots.voice.segments import VoiceSegment, VoiceUtterance, text_frame

PAUSE_S = 0.25


class Narrator:
    """Queues what is played.

    Args:
        queue: Puts a frame behind those of an audio context.
        pace: How fast the voice has been heard to speak.
    """

    def __init__(self, queue: Callable[[str, Frame], Awaitable[None]], pace: Pace) -> None:
        self._queue = queue
        self._pace = pace

    async def play_rest(
        self,
        context_id: str,
        utterance: VoiceUtterance,
        segment: VoiceSegment,
        words: Sequence[tuple[str, int, int]],
    ) -> None:
        """Play what was held back, each word's text after its sound."""
        heard, start_ms = segment.heard, segment.audio_ms
        pcm, segment.held = bytes(segment.held), bytearray()
        if heard is None:
            await self.play(context_id, utterance, segment, pcm)
            return
        total_ms = start_ms + len(pcm) / 2 / utterance.sample_rate * 1000
        parts = cut(pcm, heard.timeline(total_ms, words), start_ms, utterance.sample_rate)
        for part in parts[:-1]:
            await self.play(context_id, utterance, segment, part)
            await self._say(context_id, segment, heard)
        await self.play(context_id, utterance, segment, parts[-1])

    async def play(
        self, context_id: str, utterance: VoiceUtterance, segment: VoiceSegment, pcm: bytes
    ) -> None:
        """Queue audio of a segment."""
        if not pcm:
            return
        segment.audio_ms += len(pcm) / 2 / utterance.sample_rate * 1000
        await self._append_audio(context_id, utterance, pcm)

    async def _append_audio(self, context_id: str, utterance: VoiceUtterance, pcm: bytes) -> None:
        now = asyncio.get_running_loop().time()
        utterance.plays_until = max(now, utterance.plays_until) + len(pcm) / 2 / utterance.sample_rate
        frame = TTSAudioRawFrame(pcm, utterance.sample_rate, 1, context_id=context_id)
        await self._queue(context_id, frame)

    async def _say(self, context_id: str, segment: VoiceSegment, heard: SpokenText) -> None:
        """Queue the next piece of text behind its sound: for the conversation, and for the page."""
        if segment.frame is None:
            return
        piece = heard.take()
        await self._queue(context_id, text_frame(piece, segment.frame))
        if segment.frame.segment_id is not None:
            progress = AggregatedTextProgressFrame(
                segment_id=segment.frame.segment_id,
                context_id=context_id,
                text=heard.text,
                text_type=segment.frame.text_type,
                accumulated_text=heard.said,
                remaining_text=heard.unsaid,
            )
            await self._queue(context_id, progress)

    async def pause_before_next(self, context_id: str, utterance: VoiceUtterance) -> None:
        """Let a sentence end be heard, where another segment follows, unless it is silent already."""
        if not utterance.pause_due or not utterance.segments:
            return
        utterance.pause_due = False
        silent_s = max(0.0, asyncio.get_running_loop().time() - utterance.plays_until)
        samples = round(max(0.0, PAUSE_S - silent_s) * utterance.sample_rate)
        if samples:
            await self._append_audio(context_id, utterance, bytes(2 * samples))

    async def say_due(self, context_id: str, segment: VoiceSegment) -> None:
        """Give out the words that are over, by how fast the voice has been heard to speak."""
        if segment.heard is not None:
            pace = self._pace.ms_per_character or MS_PER_CHARACTER
            for _ in range(segment.heard.due(segment.audio_ms, pace)):
                await self._say(context_id, segment, segment.heard)
