"""Tacotron2 and HiFi-GAN (Coqui TTS): a few frames of every segment in a step, made audible as they come.

The decoder says frame by frame what a clause sounds like, and when it is over. A step makes the next frames
of all segments together, whatever their lengths; refines those of which the postnet has heard what follows;
and vocodes a window of every segment that has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nemotron_speech.audio import to_int16
from nemotron_speech.engines.base import Segment, TtsInfo, TtsResult, Word
from nemotron_speech.engines.shared.hub import first_line
from nemotron_speech.engines.shared.isolation import BatchLimit, release_torch_memory
from nemotron_speech.engines.shared.pieces import PieceStream, pieces_of, silence
from nemotron_speech.engines.shared.vocoder import Samples, VocoderWindow, vocode_all
from nemotron_speech.engines.shared.word_times import onsets, words_of_tokens
from nemotron_speech.errors import ConfigurationError, EngineError
from nemotron_speech.invocation import install

if TYPE_CHECKING:
    from nemotron_speech.engines.tacotron2_tts.frames import DecoderState, SpectrogramFrames
    from nemotron_speech.engines.tacotron2_tts.load import TacotronVoice

PRESETS = {"aggressive": 16, "balanced": 32, "conservative": 64}
"""Spectrogram frames in each piece of audio (11.6 ms each with the released models)."""
FRAMES = 16
"""Frames that a step makes of each segment."""
LONGEST_PIECE = 200
"""Characters spoken in one go: attention loses its place in longer texts."""
FRAMES_PER_CHARACTER, LEAST_FRAMES = 20, 100
"""Most frames by the text's length, more than any voice takes: a text not over by then has lost its place."""
PAUSE_MS = 150
"""Silence between two sentences."""


@dataclass(slots=True, eq=False)
class SpokenClause:
    """A clause being spoken; of its spectrogram, no more than what is still needed is kept."""

    text: str
    state: DecoderState
    frames: int = 0
    """Frames made so far."""
    ended: bool = False
    raw: Any = None
    """Newest frames, as the decoder made them: [mels, n]."""
    refined: int = 0
    """Frames of `raw` that the postnet has been through."""
    mel: Any = None
    """Newest refined frames, as the vocoder wants them: [mels, n]."""
    at: int = 0
    """Frames of `mel` that have been vocoded."""
    begun: int | None = None
    """Samples of the segment before this clause; None until audio of the clause is made."""
    attended: list[Any] = field(default_factory=list)
    """Attention to the text's tokens: [steps, tokens], one tensor for each time that frames were made."""


@dataclass(slots=True, eq=False)
class Tacotron2Stream(PieceStream):
    """One segment being spoken."""

    piece: SpokenClause | None = None
    spoke: bool = False
    """True if a clause of the segment has been spoken."""

    @property
    def done(self) -> bool:
        return self.piece is None and not self.pieces


class Tacotron2Engine:
    """Speak with a Tacotron2 and a HiFi-GAN of Coqui TTS.

    Args:
        tacotron2_model: A folder with the config.json and the .pth file of a model of one speaker, or a name
            that `tts --list_models` shows.
        hifigan_model: The same for the vocoder.
        device: auto (CUDA where there is one), cpu, cuda or cuda:N.
        capacity: Callers at once.
        max_batch: Segments in one step; 0 for all.
        seed: Seed of the model's random choices: the same text sounds the same.
    """

    def __init__(
        self,
        tacotron2_model: str = "tts_models/en/ljspeech/tacotron2-DDC",
        hifigan_model: str = "vocoder_models/en/ljspeech/hifigan_v2",
        device: str = "auto",
        capacity: int = 16,
        max_batch: int = 0,
        seed: int = 0,
    ) -> None:
        if capacity < 1:
            raise ConfigurationError(f"capacity: {capacity}; at least 1")
        self._sources, self._device, self._seed = (tacotron2_model, hifigan_model), device, seed
        self._voice: TacotronVoice | None = None
        self._limit: BatchLimit[Tacotron2Stream] = BatchLimit(max_batch or capacity, release_torch_memory)
        self.info = TtsInfo(
            name="tacotron2",
            model=tacotron2_model,
            sample_rate=22050,
            voices=("voice0",),
            presets=tuple(PRESETS),
            capacity=capacity,
            max_batch=max_batch or capacity,
        )

    def load(self) -> None:
        """Load both models; `info` then says what they really have. Raises ConfigurationError."""
        try:
            from nemotron_speech.engines.tacotron2_tts.frames import SpectrogramFrames
            from nemotron_speech.engines.tacotron2_tts.load import load_voice
        except ImportError as error:
            raise ConfigurationError(
                f"the tacotron2 engine needs Coqui TTS ({first_line(error)}): type {install(['tacotron2'])}"
            ) from error
        self._voice = voice = load_voice(*self._sources, self._device)
        self._frames: SpectrogramFrames = SpectrogramFrames(voice.model)
        self._has_sound = lru_cache(4096)(self._sounds)
        self.info = replace(
            self.info, model=voice.name, sample_rate=voice.vocoder.sample_rate, languages=(voice.language,)
        )
        self._warm_up()

    def unload(self) -> None:
        self._voice = None

    def open(self, segment: Segment) -> Tacotron2Stream:
        """Start a segment. Raises BadRequest for what the model lacks."""
        segment.check(self.info)
        pieces, unspoken = pieces_of(segment.text, LONGEST_PIECE, self._has_sound)
        return Tacotron2Stream(segment, pieces, unspoken=unspoken)

    def step(self, streams: Sequence[Tacotron2Stream]) -> list[TtsResult | EngineError]:
        """Make the next frames of each segment, and vocode a window of those that have one."""
        failed = dict(self._limit.run(self._begin, [s for s in streams if s.piece is None and s.pieces]))
        for act in (self._decode, self._refine):
            going_on = [s for s in streams if s.piece is not None and s not in failed]
            failed |= dict(self._limit.run(act, going_on))
        windows = {
            stream: (stream.piece.mel, window)
            for stream in streams
            if stream.piece is not None and stream not in failed and (window := self._window(stream))
        }
        made, unmade = vocode_all(self._loaded().vocoder, self._limit, windows)
        failed |= unmade
        audio = {stream: self._spoken(stream, windows[stream][1], made[stream]) for stream in made}
        for stream in failed:
            self.close(stream)
        return [
            failed.get(stream) or stream.deliver(audio.get(stream, b""), done=stream.done)
            for stream in streams
        ]

    def close(self, stream: Tacotron2Stream) -> None:
        """Stop the segment; it costs nothing from the next step on."""
        stream.stop()
        stream.piece = None

    def _begin(self, streams: Sequence[Tacotron2Stream]) -> None:
        """Encode the next clause of each segment."""
        tokens = self._loaded().tokens
        begun = [self._frames.begin(tokens(stream.pieces[0]), self._seed) for stream in streams]
        for stream, state in zip(streams, begun, strict=True):
            text = stream.pieces.popleft()
            stream.piece = SpokenClause(text, state) if state is not None else None

    def _decode(self, streams: Sequence[Tacotron2Stream]) -> None:
        """Make the next frames of the clauses that have not ended."""
        pieces = [s.piece for s in streams if s.piece is not None and not s.piece.ended]
        if not pieces:
            return
        steps = -(-FRAMES // self._frames.per_step)
        for piece, made in zip(pieces, self._frames.decode([p.state for p in pieces], steps), strict=True):
            piece.state, piece.ended = made.state, made.ends
            piece.frames += made.frames.shape[1]
            piece.attended.append(made.attended)
            piece.raw = _joined(piece.raw, made.frames)
        for stream in streams:
            self._stop_the_lost(stream)

    def _stop_the_lost(self, stream: Tacotron2Stream) -> None:
        piece = stream.piece
        if piece is None or piece.ended:
            return
        if piece.frames >= LEAST_FRAMES + FRAMES_PER_CHARACTER * len(piece.text):
            piece.ended = True
            stream.unspoken = (*stream.unspoken, piece.text)

    def _refine(self, streams: Sequence[Tacotron2Stream]) -> None:
        """Run the postnet over the frames of which it has heard what follows, or that are the last ones."""
        groups: defaultdict[int, list[SpokenClause]] = defaultdict(list)
        for stream in streams:
            piece = stream.piece
            if piece is not None and piece.refined < self._ready(piece):
                groups[piece.raw.shape[1]].append(piece)
        refined = {
            piece: mel
            for group in groups.values()
            for piece, mel in zip(group, self._frames.refine([p.raw for p in group]), strict=True)
        }
        for piece, mel in refined.items():
            self._keep(piece, mel)

    def _ready(self, piece: SpokenClause) -> int:
        """Return how many of the frames in `raw` can be refined."""
        return piece.raw.shape[1] - (0 if piece.ended else self._frames.reach)

    def _keep(self, piece: SpokenClause, mel: Any) -> None:
        """Keep the refined frames for the vocoder, and of the others those that the next ones need."""
        voice, ready = self._loaded(), self._ready(piece)
        new = voice.rescale(mel[:, piece.refined : ready])
        if piece.mel is None and voice.padding:
            new = _joined(new[:, :1].repeat(1, voice.padding), new)
        if piece.ended and voice.padding:
            new = _joined(new, new[:, -1:].repeat(1, voice.padding))
        piece.mel = _joined(piece.mel, new)
        over = max(ready - self._frames.reach, 0)
        piece.raw, piece.refined = piece.raw[:, over:], ready - over

    def _window(self, stream: Tacotron2Stream) -> VocoderWindow | None:
        """Return what can be vocoded next; None if too little has been made."""
        piece, vocoder = stream.piece, self._loaded().vocoder
        if piece is None or piece.mel is None:
            return None
        frames, size = piece.mel.shape[1], PRESETS[stream.segment.preset]
        if not piece.ended and frames < piece.at + size + vocoder.context:
            return None
        return vocoder.window(frames, piece.at, size)

    def _spoken(self, stream: Tacotron2Stream, window: VocoderWindow, samples: Samples) -> bytes:
        """Return what is heard of a window, and go on to the next one."""
        piece = stream.piece
        assert piece is not None, "a window of no clause was vocoded"
        pause = b""
        if piece.begun is None:
            pause = silence(self.info.sample_rate, PAUSE_MS) if stream.spoke else b""
            piece.begun = stream.samples + len(pause) // 2
        stream.spoke = True
        over = max(window.end - self._loaded().vocoder.context, 0)
        piece.mel, piece.at = piece.mel[:, over:], window.end - over
        if piece.ended and piece.at == piece.mel.shape[1]:
            ended = stream.samples + len(pause) // 2 + len(samples)
            stream.note(self._words(piece, piece.begun, ended))
            stream.piece = None
        return pause + to_int16(samples).tobytes()

    def _words(self, piece: SpokenClause, begun: int, ended: int) -> tuple[Word, ...]:
        """Return the words of a piece that is spoken, from the first to the last of its samples."""
        import numpy as np

        voice, per_ms = self._loaded(), self.info.sample_rate / 1000
        words = words_of_tokens(piece.text, piece.state.tokens, voice.space, voice.tokens)
        first = begun + voice.padding * voice.vocoder.samples_per_frame
        per_step = self._frames.per_step * voice.vocoder.samples_per_frame
        at = [(first + per_step * step) / per_ms for step in onsets(np.concatenate(piece.attended))]
        return words.times(at, ended / per_ms)

    def _sounds(self, word: str) -> bool:
        """Return True if the model's characters have more of the word than of a space."""
        tokens = self._loaded().tokens
        try:
            return bool(set(tokens(word)) - set(tokens(" ")))
        except Exception:  # noqa: BLE001  third-party dictionaries and rules raise anything on odd text
            return False

    def _warm_up(self) -> None:
        """Speak once, to nobody: what a GPU does for the first time takes it long."""
        stream = self.open(Segment("a.", self.info.voices[0], self.info.languages[0]))
        while not stream.done:
            for result in self.step([stream]):
                if isinstance(result, EngineError):
                    raise ConfigurationError(f"the models were loaded but do not speak: {result}")

    def _loaded(self) -> TacotronVoice:
        if self._voice is None:
            raise EngineError("the models are not loaded")
        return self._voice


def _joined(before: Any, frames: Any) -> Any:
    """Return frames [mels, n] behind others, if there are any."""
    import torch

    return frames if before is None else torch.cat([before, frames], 1)
