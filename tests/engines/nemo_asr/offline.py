"""What a model says of a whole recording at once, through NeMo's own code: the truth for streaming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def encode(model: Any, samples: npt.NDArray[np.int16]) -> tuple[Any, Any]:
    """Return the encoder frames `[1, D, T]` and their number."""
    import torch

    with torch.inference_mode():
        signal = torch.from_numpy(samples.astype(np.float32) / 32768)[None]
        mel, length = model.preprocessor(input_signal=signal, length=torch.tensor([len(samples)]))
        return model.encoder(audio_signal=mel, length=length)


def load(path: Path, right: int) -> Any:
    """Load a model at a look-ahead, as NeMo itself would."""
    from nemo.collections.asr.models import ASRModel

    model = ASRModel.restore_from(str(path), map_location="cpu").eval()
    model.encoder.set_default_att_context_size([70, right])
    return model


def recognise(
    model: Any, samples: npt.NDArray[np.int16], decoder: str = "rnnt", prompt: int | None = None
) -> str:
    """Return the text without marks, its words one space apart; a model with prompts is told one."""
    import torch

    encoded, lengths = encode(model, samples)
    if prompt is not None:
        model._inference_prompt_index = prompt
        with torch.inference_mode():
            encoded = model._apply_prompt_to_encoded(encoded)
    if hasattr(model, "joint") and decoder == "rnnt":
        hypothesis = model.decoding.rnnt_decoder_predictions_tensor(
            encoder_output=encoded, encoded_lengths=lengths, return_hypotheses=True
        )[0]
    else:
        head = getattr(model, "ctc_decoder", model.decoder)
        decoding = getattr(model, "ctc_decoding", model.decoding)
        hypothesis = decoding.ctc_decoder_predictions_tensor(
            decoder_outputs=head(encoder_output=encoded), decoder_lengths=lengths, return_hypotheses=True
        )[0]
    return spaced(hypothesis.text)


def spaced(text: str) -> str:
    return " ".join(text.replace("<EOU>", " ").split())
