"""The way of audio through a session: short, and past nobody who does not listen.

Fifty times a second a piece of the caller's audio comes, and one of the bot's goes. In Pipecat each goes
through every processor of the pipeline, and each step is queued for a task, told to all observers and made
into a line for the log. Here audio ends where the last one has heard it, and goes from one processor to the
next without being announced (docs/decisions/cost-of-a-call.md).
"""

from __future__ import annotations

from dataclasses import replace

from pipecat.frames.frames import AudioRawFrame, Frame
from pipecat.observers.base_observer import BaseObserver, FrameProcessed, FramePushed, ProcessorSetUp
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
from pipecat.services.tts_service import TTSService


async def hand_on(processor: FrameProcessor, frame: Frame) -> None:
    """Push a frame downstream unannounced: no observer is told, and no line for the log is made of it."""
    if processor.next is not None:
        await processor.next.queue_frame(frame, FrameDirection.DOWNSTREAM)


class Sieve(BaseObserver):
    """Shows the observers of a pipeline what is pushed, but of audio only that the voice has made some.

    Frames that a processor takes up are shown to nobody: another processor has pushed the same ones.
    """

    def __init__(self, observers: BaseObserver) -> None:
        super().__init__()
        self._observers = observers

    async def on_push_frame(self, data: FramePushed) -> None:
        if not isinstance(data.frame, AudioRawFrame) or isinstance(data.source, TTSService):
            await self._observers.on_push_frame(data)

    async def on_process_frame(self, data: FrameProcessed) -> None: ...

    async def on_processor_setup(self, data: ProcessorSetUp) -> None:
        await self._observers.on_processor_setup(data)


class QuietPipeline(Pipeline):
    """A pipeline that is watched through a `Sieve`."""

    async def setup(self, setup: FrameProcessorSetup) -> None:
        sieve = Sieve(setup.observer) if setup.observer is not None else None
        await super().setup(replace(setup, observer=sieve))
