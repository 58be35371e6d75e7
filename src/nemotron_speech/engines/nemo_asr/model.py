"""A loaded model as one function of a batch: audio and state in, tokens and state out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemotron_speech.engines.nemo_asr import load as nemo_load
from nemotron_speech.engines.nemo_asr.decode import CtcDecoder, DecodedToken, RnntDecoder, TransducerDecoder
from nemotron_speech.engines.nemo_asr.encode import StreamingEncoder
from nemotron_speech.engines.nemo_asr.mel import MelFrames, Samples
from nemotron_speech.engines.nemo_asr.prompt import LanguagePrompt, Languages, prompts_of
from nemotron_speech.engines.nemo_asr.text import TokenVocabulary
from nemotron_speech.engines.shared.torch_device import pick_device
from nemotron_speech.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from nemotron_speech.engines.nemo_asr.arena import State


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of the model: its source, decoder, precision and device; see `NemoAsrEngine`."""

    model: str
    right_context: int | None
    att_ctx: str | None
    decoder: str
    precision: str
    device: str
    language: str
    cuda_graphs: bool
    compile: bool = False


class StreamingModel:
    """A cache-aware FastConformer ready to step. Raises ConfigurationError if it cannot be that."""

    def __init__(self, options: ModelOptions) -> None:
        import torch

        self.device = pick_device(options.device)
        model = nemo_load.load_model(options.model, self.device).to(self.device)
        nemo_load.check_streaming(model)
        self.att_context = nemo_load.set_look_ahead(model, options.right_context, options.att_ctx)
        dtype = nemo_load.set_precision(model, options.precision)
        self.kind = type(model).__name__
        prompts = prompts_of(model)
        self.languages = Languages(prompts, options.language)
        self.vocabulary = TokenVocabulary.of(model)
        self._prompt = LanguagePrompt(model) if prompts else None
        with torch.inference_mode():
            self.mel = MelFrames(model.preprocessor)
            self.encoder = StreamingEncoder(model, dtype, compiled=options.compile)
            if options.cuda_graphs and not self.device.startswith("cuda"):
                raise ConfigurationError(f"cuda_graphs: there are none on {self.device}; leave it out")
            self._decoder = _decoder(model, options.decoder, options.cuda_graphs)
        self.plan, self.shape = self.encoder.plan, self.mel.shape

    @property
    def frame_ms(self) -> float:
        """Time of one encoder frame."""
        return self.plan.subsampling * self.shape.hop * 1000 / self.shape.sample_rate

    @property
    def step_ms(self) -> int:
        """Audio of one step of one stream."""
        return round(self.plan.later * self.shape.hop * 1000 / self.shape.sample_rate)

    @property
    def fresh(self) -> dict[str, torch.Tensor]:
        """The state of one stream that has heard nothing."""
        return {**self.encoder.fresh, **self._decoder.fresh}

    @property
    def dims(self) -> dict[str, int]:
        """Name of each part of the state to its batch dimension."""
        return {**self.encoder.dims, **self._decoder.dims}

    def __call__(
        self,
        kind: int,
        windows: Sequence[Samples],
        frames: Sequence[int],
        prompts: Sequence[int],
        state: State,
    ) -> tuple[list[list[DecodedToken]], list[bool], dict[str, torch.Tensor]]:
        """Hear the next `frames[i]` mel frames of stream i, all at positions of one kind.

        Returns each stream's new tokens, whether its numbers were sound, and the state after them.
        """
        mel = self.mel(windows, frames)
        encoded, lengths, heard = self.encoder(kind, mel, frames, state)
        if self._prompt:
            encoded = self._prompt(encoded, prompts)
        tokens, said = self._decoder(encoded, lengths, state)
        sound = encoded.isfinite().flatten(1).all(1).tolist()
        return tokens, sound, {**heard, **said}


def _decoder(model: Any, kind: str, cuda_graphs: bool) -> TransducerDecoder:
    """Return the decoder asked for, or the only one the model has. Raises ConfigurationError."""
    if hasattr(model, "ctc_decoder") and kind == "ctc":
        return CtcDecoder(model.ctc_decoder, model.ctc_decoder.num_classes_with_blank - 1)
    if not hasattr(model, "joint"):
        return CtcDecoder(model.decoder, model.decoder.num_classes_with_blank - 1)
    if kind == "ctc":
        raise ConfigurationError("this model has no CTC decoder; use decoder=rnnt")
    if getattr(model.joint, "num_extra_outputs", 0):
        raise ConfigurationError("transducers that predict durations (TDT) are not supported")
    return RnntDecoder(model, cuda_graphs=cuda_graphs)
