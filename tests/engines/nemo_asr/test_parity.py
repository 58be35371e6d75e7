"""A stream says what the model says of the whole recording; a batch says what each stream says alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies

from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from tests.engines.nemo_asr import offline
from tests.engines.nemo_asr.conftest import MakeEngine
from tests.engines.nemo_asr.streams import Caller, Samples, recognise, step
from tests.engines.nemo_asr.tiny_models import babble

KINDS = [("rnnt", "rnnt"), ("hybrid", "rnnt"), ("hybrid", "ctc"), ("ctc", "ctc")]


@pytest.mark.parametrize("right", [0, 1, 6, 13])
@pytest.mark.parametrize(("kind", "decoder"), KINDS)
def test_a_stream_says_what_the_model_says_of_the_whole_recording(
    kind: str, decoder: str, right: int, make_engine: MakeEngine, reference: Callable[[str, int], Any]
) -> None:
    engine = make_engine(kind, decoder=decoder, right_context=right)
    for seed, seconds in enumerate((0.05, 0.4, 1.3, 2.9, 6.0)):
        audio = babble(seconds, seed)
        expected = offline.recognise(reference(kind, right), audio, decoder)
        assert recognise(engine, audio) == [expected]


@pytest.mark.parametrize("right", [0, 1, 6, 13])
def test_the_encoder_hears_the_same_frame_by_frame(
    right: int, make_engine: MakeEngine, reference: Callable[[str, int], Any]
) -> None:
    import torch

    audio = babble(4.37, 5)
    whole, _ = offline.encode(reference("rnnt", right), audio)
    alone = encoder_frames(make_engine("rnnt", right_context=right), [audio])[0]
    together = encoder_frames(make_engine("rnnt", right_context=right), [audio] * 5)
    assert alone.shape == whole[0].shape
    differences = [(alone - whole[0]).abs().max(), *((each - alone).abs().max() for each in together)]
    print(f"R={right}: stream - offline {differences[0]:.1e}, batch - alone {max(differences[1:]):.1e}")
    assert torch.stack(differences).max() < 1e-4


@settings(
    max_examples=4,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)
@given(seed=strategies.integers(0, 10_000), right=strategies.sampled_from([0, 1, 6]))
@pytest.mark.parametrize(("kind", "decoder"), [("rnnt", "rnnt"), ("hybrid", "ctc")])
def test_streams_that_come_and_go_say_what_each_says_alone(
    kind: str,
    decoder: str,
    seed: int,
    right: int,
    make_engine: MakeEngine,
    reference: Callable[[str, int], Any],
) -> None:
    """Callers of several utterances join a small engine at any time, in any order; some hang up early."""
    rng = random.Random(seed)
    model = reference(kind, right)
    engine = make_engine(kind, decoder=decoder, right_context=right, capacity=4, max_batch=3)
    scripts = [
        [babble(rng.uniform(0.02, 1.6), rng.randrange(20)) for _ in range(rng.randint(1, 2))]
        for _ in range(7)
    ]
    waiting, here, quitters = list(scripts), [], 0
    while waiting or here:
        if waiting and len(here) < 4 and rng.random() < 0.3:
            here.append(Caller(engine, waiting.pop()))
        going = rng.sample(here, rng.randint(0, len(here)))
        more = step(engine, going)
        done = [caller for caller in going if caller not in more]
        if more and rng.random() < 0.02:
            done.append(more[0])
            quitters += 1
        for caller in done:
            engine.close(caller.stream)
            here.remove(caller)
            for said, heard in zip(caller.utterances, caller.finals, strict=False):
                assert offline.spaced(heard.text) == offline.recognise(model, said, decoder)
            assert caller in more or len(caller.finals) == len(caller.utterances)


def encoder_frames(engine: NemoAsrEngine, recordings: Sequence[Samples]) -> list[Any]:
    """Return what the encoder makes of recordings that are all said at the same time."""
    import torch

    model = engine._loaded()[0]
    rows: list[list[Any]] = [[] for _ in recordings]
    encode = model.encoder

    class Recorder:
        def __call__(self, *arguments: Any) -> Any:
            encoded, lengths, state = encode(*arguments)
            for row, frames, length in zip(rows, encoded, lengths, strict=True):
                row.append(frames[:, :length].clone())
            return encoded, lengths, state

    model.encoder = Recorder()  # type: ignore[assignment]
    callers = [Caller(engine, [audio]) for audio in recordings]
    while step(engine, callers):
        pass
    return [torch.cat(row, 1) for row in rows]
