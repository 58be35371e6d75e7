"""FastPitch and HiFi-GAN (NeMo): a spectrogram for each sentence at once, made audible window by window.

A step makes the spectrograms of a few segments at once, of those that come first (the server puts those first
whose listeners have least audio left), and vocodes one window of every segment that has one. Windows that lie
alike in their spectrograms are one batch; the last ones of two texts seldom do, and padding would be heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, TtsInfo, TtsResult, Word
from nemotron_speech.engines.shared.isolation import BatchLimit, release_torch_memory
from nemotron_speech.engines.shared.pieces import PieceStream, pieces_of, silence
from nemotron_speech.engines.shared.vocoder import Samples, vocode_all
from nemotron_speech.engines.shared.word_times import words_of_tokens
from nemotron_speech.errors import ConfigurationError, EngineError

if TYPE_CHECKING:
    from nemotron_speech.engines.fastpitch_tts.batch import Spectrogram
    from nemotron_speech.engines.fastpitch_tts.load import FastPitchVoices
    from nemotron_speech.engines.shared.vocoder import VocoderWindow

PRESETS = {"aggressive": 16, "balanced": 32, "conservative": 64}
"""Spectrogram frames in each piece of audio (11.6 ms each with the released models)."""
LONGEST_PIECE = 200
"""Characters spoken in one go: a long sentence is cut, so that no step takes long."""
PAUSE_MS = 150
"""Silence between two sentences: models of one sentence make none."""


@dataclass(slots=True, eq=False)
class FastPitchStream(PieceStream):
    """One segment being spoken."""

    text: str = ""
    """Text of the clause being spoken."""
    made: Spectrogram | None = None
    """Spectrogram of the current clause; None until it is computed."""
    at: int = 0
    """Frames of `made` that have been vocoded."""
    begun: bool = False

    @property
    def done(self) -> bool:
        return self.made is None and not self.pieces


class FastPitchEngine:
    """Speak with a NeMo spectrogram model and a HiFi-GAN.

    Args:
        fastpitch_model: Path of a .nemo file, or a name NeMo knows. FastPitch, or any other class of
            NeMo that has `parse` and `generate_spectrogram`.
        hifigan_model: The same for the vocoder.
        speaker: The number of the speaker that comes first in `info.voices`.
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        capacity: Callers at once.
        max_batch: Segments in one step; 0 for all.
        together: Spectrograms made in one step at most.
    """

    def __init__(
        self,
        fastpitch_model: str = "tts_en_fastpitch",
        hifigan_model: str = "tts_en_hifigan",
        speaker: int = 0,
        device: str = "auto",
        capacity: int = 16,
        max_batch: int = 0,
        together: int = 8,
    ) -> None:
        for name, value in (("capacity", capacity), ("together", together)):
            if value < 1:
                raise ConfigurationError(f"{name}: {value}; at least 1")
        self._sources, self._device, self._speaker = (fastpitch_model, hifigan_model), device, speaker
        self._together = together
        self._voices: FastPitchVoices | None = None
        self._places: dict[str, int] = {}
        """Voice to the speaker's number."""
        self._limit: BatchLimit[FastPitchStream] = BatchLimit(max_batch or capacity, release_torch_memory)
        self.info = TtsInfo(
            name="fastpitch",
            model=fastpitch_model,
            sample_rate=22050,
            voices=("voice0",),
            presets=tuple(PRESETS),
            capacity=capacity,
            max_batch=max_batch or capacity,
            speeds=(0.25, 4.0),
        )

    def load(self) -> None:
        """Load both models; `info` then says what they really have. Raises ConfigurationError."""
        try:
            from nemotron_speech.engines.fastpitch_tts.load import load_voices
        except ImportError as error:
            raise ConfigurationError(
                f"the fastpitch engine needs NeMo ({error.name} is not installed): run scripts/nemo_env and "
                "start the server from the environment that it makes"
            ) from error
        voices = load_voices(*self._sources, self._device)
        self._places = _places(voices.speakers, self._speaker)
        self._voices = voices
        self._has_sound = lru_cache(4096)(self._sounds)
        self.info = replace(
            self.info,
            model=voices.name,
            sample_rate=voices.vocoder.sample_rate,
            voices=tuple(self._places),
            languages=(voices.language,),
            speeds=self.info.speeds if voices.paced else (1.0, 1.0),
        )
        self._warm_up()

    def unload(self) -> None:
        self._voices = None

    def open(self, segment: Segment) -> FastPitchStream:
        """Start a segment. Raises BadRequest for what the model lacks."""
        segment.check(self.info)
        pieces, unspoken = pieces_of(segment.text, LONGEST_PIECE, self._has_sound)
        return FastPitchStream(segment, pieces, unspoken=unspoken)

    def step(self, streams: Sequence[FastPitchStream]) -> list[TtsResult | EngineError]:
        """Vocode one window of each segment; the first of those without a spectrogram get their next one."""
        waiting = [stream for stream in streams if stream.made is None and stream.pieces]
        failed = dict(self._limit.run(self._make_spectrograms, waiting[: self._together]))
        windows = {s: (s.made.mel, self._window(s.made, s)) for s in streams if s.made is not None}
        made, unmade = vocode_all(self._loaded().vocoder, self._limit, windows)
        failed |= unmade
        audio = {s: self._spoken(s, windows[s][1], samples) for s, samples in made.items()}
        for stream in failed:
            self.close(stream)
        return [
            failed.get(stream) or stream.deliver(audio.get(stream, b""), done=stream.done)
            for stream in streams
        ]

    def close(self, stream: FastPitchStream) -> None:
        """Stop the segment; it costs nothing from the next step on."""
        stream.stop()
        stream.made = None

    def _make_spectrograms(self, streams: Sequence[FastPitchStream]) -> None:
        segments = [stream.segment for stream in streams]
        made = self._loaded().spectrograms.make(
            [stream.pieces[0] for stream in streams],
            [self._places[segment.voice] for segment in segments],
            [segment.speed for segment in segments],
        )
        if not all(spectrogram.mel.isfinite().all() for spectrogram in made):
            raise FloatingPointError("the spectrogram is not finite")
        for stream, spectrogram in zip(streams, made, strict=True):
            stream.text = stream.pieces.popleft()
            stream.made, stream.at = spectrogram if spectrogram.mel.shape[1] else None, 0

    def _window(self, made: Spectrogram, stream: FastPitchStream) -> VocoderWindow:
        return self._loaded().vocoder.window(made.mel.shape[1], stream.at, PRESETS[stream.segment.preset])

    def _spoken(self, stream: FastPitchStream, window: VocoderWindow, samples: Samples) -> bytes:
        """Return what is heard of a window, and go on to the next one."""
        made = stream.made
        assert made is not None, "a window of no spectrogram was vocoded"
        pause = b""
        if stream.at == 0:
            pause = silence(self.info.sample_rate, PAUSE_MS) if stream.begun else b""
            stream.note(self._words(stream.text, made, stream.samples + len(pause) // 2))
        stream.at, stream.begun = window.end, True
        if stream.at == made.mel.shape[1]:
            stream.made = None
        return pause + to_int16(samples).tobytes()

    def _words(self, text: str, made: Spectrogram, begun: int) -> tuple[Word, ...]:
        """Return the words of a piece that began after so many samples; none if the model does not say."""
        if not made.frames:
            return ()
        voices = self._loaded()
        words = words_of_tokens(text, made.tokens, voices.space, voices.tokens)
        per_ms = self.info.sample_rate / 1000
        at = [
            (begun + voices.vocoder.samples_per_frame * frames) / per_ms
            for frames in accumulate(made.frames, initial=0)
        ]
        return words.times(at, at[-1])

    def _sounds(self, word: str) -> bool:
        """Return True if the model's tokenizer makes more of the word than of a space."""
        tokens = self._loaded().tokens
        try:
            return bool(set(tokens(word)) - set(tokens(" ")))
        except Exception:  # noqa: BLE001  third-party dictionaries and rules raise anything on odd text
            return False

    def _warm_up(self) -> None:
        """Speak once, to nobody: what a GPU does for the first time takes it long."""
        stream = self.open(Segment("a.", self.info.voices[0], self.info.languages[0]))
        for result in self.step([stream]):
            if isinstance(result, EngineError):
                raise ConfigurationError(f"the models were loaded but do not speak: {result}")
        self.close(stream)

    def _loaded(self) -> FastPitchVoices:
        if self._voices is None:
            raise EngineError("the models are not loaded")
        return self._voices


def _places(speakers: int, first: int) -> dict[str, int]:
    if not 0 <= first < speakers:
        raise ConfigurationError(f"speaker: {first}; the model has {speakers}, counted from 0")
    numbers = [first, *(n for n in range(speakers) if n != first)]
    return {f"voice{n}": n for n in numbers}
