"""What NeMo's own decoding loop makes of a text, drawing the same random numbers as our engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def drawing(model: Any, seed: int) -> Iterator[None]:
    """Make `torch.multinomial` draw what our sampler draws for an utterance with this seed.

    NeMo draws each codebook of the stack with the local transformer, then each again from the decoder's own
    logits, of which only the likeliest is left.
    """
    import torch

    from nemotron_speech.engines.magpie_tts.sampling import Draw, gumbel

    genuine, calls = torch.multinomial, 0
    codebooks = model.num_audio_codebooks * model.frame_stacking_factor

    def multinomial(probabilities: torch.Tensor, number: int) -> torch.Tensor:
        nonlocal calls
        step, codebook = divmod(calls, 2 * codebooks)
        calls += 1
        if codebook >= codebooks:
            return genuine(probabilities, number)
        noise = gumbel([Draw(seed, step, True, False)], codebooks, probabilities.shape[1], "cpu")
        return (probabilities.log() + noise[0, codebook]).argmax(-1, keepdim=True)

    torch.multinomial = multinomial
    try:
        yield
    finally:
        torch.multinomial = genuine


def nemo_codes(
    model: Any,
    chunks: Sequence[Sequence[int]],
    voice: int,
    *,
    seed: int,
    guidance: bool = True,
    cache: bool = True,
) -> Any:
    """Return the codes [codebooks, frames] of NeMo's loop.

    Args:
        chunks: Tokens of each part of the text.
        cache: Whether the decoder keeps keys and values (as NeMo's own inference runner has it).
    """
    import torch

    state, made = model.create_chunk_state(batch_size=1), []
    with drawing(model, seed):
        for number, tokens in enumerate(chunks):
            model.decoder.reset_cache(use_cache=cache)
            output = model.generate_speech(
                {
                    "text": torch.tensor([tokens]),
                    "text_lens": torch.tensor([len(tokens)]),
                    "speaker_indices": voice,
                },
                chunk_state=state,
                end_of_text=[number == len(chunks) - 1],
                beginning_of_text=number == 0,
                use_cfg=guidance,
                use_local_transformer_for_inference=True,
            )
            made.append(output.predicted_codes[0, :, : output.predicted_codes_lens[0]])
    model.decoder.reset_cache(use_cache=False)
    return torch.cat(made, dim=1)
