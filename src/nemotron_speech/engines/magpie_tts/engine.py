"""Magpie TTS: NVIDIA's multilingual speech model, streamed frame by frame, many callers in one batch.

A step decodes one stack of codec frames of every segment and turns the frames that are due into samples.
Segments join and leave between steps; a closed segment costs nothing from the next step on.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, SynthesisMode, TtsInfo, TtsResult, Word
from nemotron_speech.engines.magpie_tts.words import SpokenWords
from nemotron_speech.engines.shared.isolation import BatchLimit, release_torch_memory
from nemotron_speech.errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    from nemotron_speech.engines.magpie_tts.checkpoint import Checkpoint
    from nemotron_speech.engines.magpie_tts.codec import CodecDecoder
    from nemotron_speech.engines.magpie_tts.decoder import CodeFrames, DecodedUtterance, MagpieDecoder
    from nemotron_speech.engines.magpie_tts.text import TextPlan

PRESETS = {"aggressive": 4, "balanced": 6, "conservative": 8}
"""Codec frames in each piece of audio, the first one too: a short piece starts soon, a long one rides out
longer stalls. A frame is 46 ms with the released checkpoint's codec."""


_FIRST_WORDS = "1 a, 好."
"""Warm-up text with something to say in every language: a tokenizer leaves out what it does not know."""


@dataclass(slots=True, eq=False)
class MagpieStream:
    """One segment being spoken."""

    segment: Segment
    utterance: DecodedUtterance | None
    """None when there is nothing to say."""
    words: SpokenWords
    codec: Any = None
    waiting: list[Any] = field(default_factory=list)
    """Codec frames [codebooks, n] that are no audio yet."""
    held: list[bytes] = field(default_factory=list)
    """Audio that leaves with the end of the segment."""
    frames: int = 0
    finished: bool = False
    """True if all frames have been decoded."""
    closed: bool = False
    unspoken: tuple[str, ...] = ()
    """Parts of the text that the voice has no sound for."""

    def take(self, made: CodeFrames) -> None:
        """Take in the frames of one step."""
        self.words.note(made.chunk, made.token, self.frames)
        self.waiting.append(made.codes)
        self.frames += made.codes.shape[1]
        self.finished = made.done
        if made.cut:
            self.unspoken = (*self.unspoken, *(self.words.after(made.chunk) or (self.segment.text,)))

    @property
    def waiting_frames(self) -> int:
        return sum(codes.shape[1] for codes in self.waiting)

    @property
    def due(self) -> bool:
        """True if the waiting frames are to become audio now."""
        return self.finished or self.waiting_frames >= PRESETS[self.segment.preset]


class MagpieEngine:
    """Speak with a Magpie checkpoint.

    Args:
        model: Path of a .nemo file, or a name on the Hugging Face hub (downloaded on first use).
        codec: The same for the codec; by default the one that the checkpoint names.
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        precision: auto (bf16 on CUDA, fp32 elsewhere), fp32, bf16 or fp16.
        capacity: Callers at once.
        max_batch: Segments in one step; 0 for all. Fewer once they have not fitted into memory.
        guidance: Use classifier-free guidance, with the checkpoint's scale.
        seed: Makes a segment's audio the same every time; by default it differs a little.
    """

    def __init__(
        self,
        model: str = "nvidia/magpie_tts_multilingual_357m",
        codec: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        capacity: int = 64,
        max_batch: int = 0,
        guidance: bool = True,
        seed: int | None = None,
    ) -> None:
        if capacity < 1:
            raise ConfigurationError(f"capacity: {capacity}; at least 1")
        self._source, self._codec_source = model, codec
        self._device, self._precision = device, precision
        self._guidance, self._seed = guidance, seed
        self.info = TtsInfo(
            name="magpie",
            model=model,
            sample_rate=22050,
            voices=("aria", "john", "sofia", "jason", "leo"),
            presets=tuple(PRESETS),
            capacity=capacity,
            max_batch=max_batch or capacity,
        )
        self._limit: BatchLimit[MagpieStream] = BatchLimit(self.info.max_batch, release_torch_memory)
        self._checkpoint: Checkpoint | None = None
        self._decoder: MagpieDecoder | None = None
        self._codec: CodecDecoder | None = None

    def load(self) -> None:
        """Load the model; `info` then says what it really has. Raises ConfigurationError."""
        try:
            from nemotron_speech.engines.magpie_tts.checkpoint import load_checkpoint
            from nemotron_speech.engines.magpie_tts.codec import codec_decoder
            from nemotron_speech.engines.magpie_tts.decoder import MagpieDecoder
        except ImportError as error:
            raise ConfigurationError(
                f"the magpie engine needs NeMo 3.0 ({error.name} is not installed): run scripts/nemo_env and "
                "start the server from the environment that it makes"
            ) from error
        checkpoint = load_checkpoint(self._source, self._codec_source, self._device, self._precision)
        capacity = self.info.capacity
        self._decoder = MagpieDecoder(checkpoint.model, guidance=self._guidance, capacity=capacity)
        self._codec = codec_decoder(checkpoint.model, capacity)
        self._checkpoint = checkpoint
        self.info = replace(
            self.info,
            model=checkpoint.name,
            sample_rate=checkpoint.sample_rate,
            voices=tuple(checkpoint.voices),
            languages=tuple(checkpoint.texts),
        )
        self._warm_up()

    @property
    def model(self) -> Any:
        """The loaded `MagpieTTSModel`."""
        return self._loaded()[0].model

    def plan(self, text: str, language: str) -> TextPlan:
        """Return what will be spoken of `text`, and what will not."""
        return self._loaded()[0].texts[language].plan(text)

    def unload(self) -> None:
        self._checkpoint = self._decoder = self._codec = None

    def open(self, segment: Segment) -> MagpieStream:
        """Start a segment. Raises BadRequest for what the model lacks, EngineError when no place is free."""
        checkpoint, decoder, codec = self._loaded()
        segment.check(self.info)
        plan = self.plan(segment.text, segment.language)
        if not plan.chunks:
            return MagpieStream(segment, None, SpokenWords(()), finished=True, unspoken=plan.unspoken)
        if not decoder.free_slots:
            raise EngineError(f"all {self.info.capacity} places for segments are taken")
        seed = secrets.randbits(63) if self._seed is None else self._seed
        utterance = decoder.open(plan.chunks, checkpoint.voices[segment.voice], seed)
        words = SpokenWords(plan.chunks)
        return MagpieStream(segment, utterance, words, codec.open(utterance.slot), unspoken=plan.unspoken)

    def step(self, streams: Sequence[MagpieStream]) -> list[TtsResult | EngineError]:
        """Decode one stack of frames of each segment; answer with the audio that is due.

        A segment whose step fails answers with the error; the others are stepped all the same.
        """
        speaking = [stream for stream in streams if stream.utterance is not None]
        failed = self._decode([stream for stream in speaking if not stream.finished])
        groups: defaultdict[tuple[int, bool], list[MagpieStream]] = defaultdict(list)
        for stream in speaking:
            if stream.due and stream not in failed:
                groups[stream.waiting_frames, stream.finished].append(stream)
        audio: dict[MagpieStream, bytes] = {}
        for group in groups.values():
            failed |= self._make_audio(group, audio)
        return [failed.get(stream) or self._result(stream, audio.get(stream, b"")) for stream in streams]

    def close(self, stream: MagpieStream) -> None:
        """Stop the segment; its place is free at once."""
        if not stream.closed and stream.utterance is not None and self._decoder is not None:
            self._decoder.close(stream.utterance)
        stream.closed = True

    def _warm_up(self) -> None:
        """Speak once, to nobody: what a GPU, or a dictionary, does for the first time takes it seconds."""
        for text in self._loaded()[0].texts.values():
            text.plan(_FIRST_WORDS)
        preset = min(PRESETS, key=lambda name: PRESETS[name])
        segment = Segment("1 a.", self.info.voices[0], self.info.languages[0], preset=preset)
        stream = self.open(segment)
        while not stream.finished:
            (result,) = self.step([stream])
            if isinstance(result, EngineError):
                raise ConfigurationError(f"the checkpoint was loaded but does not speak: {result}")
            if result.pcm:
                break
        self.close(stream)

    def _loaded(self) -> tuple[Checkpoint, MagpieDecoder, CodecDecoder]:
        if self._checkpoint is None or self._decoder is None or self._codec is None:
            raise EngineError("the model is not loaded")
        return self._checkpoint, self._decoder, self._codec

    def _decode(self, streams: list[MagpieStream]) -> dict[MagpieStream, EngineError]:
        """Decode a step of all segments; return those that failed."""
        _, decoder, _ = self._loaded()

        def decode(streams: Sequence[MagpieStream]) -> None:
            utterances = [stream.utterance for stream in streams if stream.utterance is not None]
            for stream, frames in zip(streams, decoder.step(utterances), strict=True):
                stream.take(frames)

        return self._within_memory(decode, streams)

    def _make_audio(
        self, streams: list[MagpieStream], audio: dict[MagpieStream, bytes]
    ) -> dict[MagpieStream, EngineError]:
        """Turn the waiting frames of segments with equally many into PCM; return those that failed."""
        _, _, codec = self._loaded()

        def make(streams: Sequence[MagpieStream]) -> None:
            samples = codec.decode(
                [stream.codec for stream in streams],
                [stream.waiting for stream in streams],
                final=streams[0].finished,
            )
            for stream, row in zip(streams, samples, strict=True):
                stream.waiting = []
                audio[stream] = to_int16(row).tobytes()

        return self._within_memory(make, streams)

    def _within_memory(
        self, act: Callable[[Sequence[MagpieStream]], None], streams: list[MagpieStream]
    ) -> dict[MagpieStream, EngineError]:
        """Act on streams together; a failure is narrowed down to those that cause it, which are returned."""
        failed = dict(self._limit.run(act, streams))
        if self._limit.now < self.info.max_batch:
            self.info = replace(self.info, max_batch=self._limit.now)
        return failed

    def _result(self, stream: MagpieStream, pcm: bytes) -> TtsResult:
        if stream.segment.mode is SynthesisMode.BATCH:
            stream.held.append(pcm)
            pcm = b"".join(stream.held) if stream.finished else b""
        if not stream.finished:
            return TtsResult(pcm)
        return TtsResult(pcm, done=True, words=self._words(stream), unspoken=stream.unspoken)

    def _words(self, stream: MagpieStream) -> tuple[Word, ...]:
        if self._codec is None:
            return ()
        ms_per_frame = 1000 * self._codec.samples_per_frame / self.info.sample_rate
        return stream.words.times(stream.frames, ms_per_frame)
