"""Decode texts with our step loop and with NeMo's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.engines.magpie_tts.oracle import nemo_codes

if TYPE_CHECKING:
    from nemotron_speech.engines.magpie_tts.decoder import DecodedUtterance, MagpieDecoder
    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine
    from nemotron_speech.engines.magpie_tts.text import TextChunk


@contextmanager
def changed(thing: Any, **values: Any) -> Iterator[None]:
    """Give `thing` other attributes for a while."""
    before = {name: getattr(thing, name) for name in values}
    for name, value in values.items():
        setattr(thing, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(thing, name, value)


def decoder_of(engine: MagpieEngine, *, guidance: bool = True, capacity: int = 8) -> MagpieDecoder:
    from nemotron_speech.engines.magpie_tts.decoder import MagpieDecoder

    return MagpieDecoder(engine.model, guidance=guidance, capacity=capacity)


def chunks_of(engine: MagpieEngine, *parts: str) -> list[TextChunk]:
    """The chunks of a text, cut where the parts say."""
    return [chunk for part in parts for chunk in engine.plan(part, "en").chunks]


def to_the_end(decoder: MagpieDecoder, utterance: DecodedUtterance) -> list[list[int]]:
    """Decode one utterance alone; its codes by codebook."""
    import torch

    made = []
    while not made or not made[-1].done:
        made += decoder.step([utterance])
    decoder.close(utterance)
    return torch.cat([frames.codes for frames in made], dim=1).tolist()


def ours(
    engine: MagpieEngine, chunks: Sequence[TextChunk], voice: int, seed: int, *, guidance: bool = True
) -> list[list[int]]:
    decoder = decoder_of(engine, guidance=guidance)
    return to_the_end(decoder, decoder.open(chunks, voice, seed))


def theirs(
    engine: MagpieEngine, chunks: Sequence[TextChunk], voice: int, seed: int, **options: Any
) -> list[list[int]]:
    tokens = [chunk.tokens for chunk in chunks]
    return nemo_codes(engine.model, tokens, voice, seed=seed, **options).tolist()
