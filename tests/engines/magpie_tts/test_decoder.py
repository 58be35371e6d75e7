"""The decoder step loop: NeMo's codes, whoever else is in the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.magpie_tts.decoding import changed, chunks_of, decoder_of, ours, theirs, to_the_end

if TYPE_CHECKING:
    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine

TEXTS = ("Hello world, how are you?", "No.", "I", "A somewhat longer text, to be spoken for a while.")
PARTS = (
    "This is the first sentence of a text that is long.",
    "Short.",
    "And here comes the last one, of some length as well.",
)


@pytest.mark.parametrize("text", TEXTS)
def test_codes_are_those_of_nemo(either: MagpieEngine, text: str) -> None:
    chunks = chunks_of(either, text)
    assert ours(either, chunks, 2, 5) == theirs(either, chunks, 2, 5)


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_codes_of_a_text_in_several_chunks_are_those_of_nemo(engine: MagpieEngine, seed: int) -> None:
    chunks = chunks_of(engine, *PARTS)
    assert len(chunks) == 3
    assert ours(engine, chunks, 1, seed) == theirs(engine, chunks, 1, seed)


def test_codes_without_guidance_are_those_of_nemo(either: MagpieEngine) -> None:
    chunks = chunks_of(either, *TEXTS[:2])
    assert ours(either, chunks, 4, 9, guidance=False) == theirs(either, chunks, 4, 9, guidance=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"ignore_finished_sentence_tracking": False},
        {"estimate_alignment_from_layers": [1]},
        {"apply_prior_to_layers": [0]},
        {"eos_detection_method": "argmax_or_multinomial_all"},
        {"eos_detection_method": "argmax_zero_cb"},
        {"temperature": 0.2, "topk": 5, "cfg_scale": 1.5},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_codes_follow_the_settings_as_in_nemo(engine: MagpieEngine, settings: dict[str, Any]) -> None:
    chunks = chunks_of(engine, *PARTS[:2])
    with changed(engine.model.inference_parameters, **settings):
        assert ours(engine, chunks, 0, 4) == theirs(engine, chunks, 0, 4)


def test_without_a_prior_the_cache_changes_nothing(either: MagpieEngine) -> None:
    chunks = chunks_of(either, TEXTS[3])
    with changed(either.model.inference_parameters, apply_attention_prior=False):
        assert ours(either, chunks, 3, 5) == theirs(either, chunks, 3, 5, cache=False)


def test_a_voice_with_less_context_is_not_disturbed_by_padding(engine: MagpieEngine) -> None:
    import torch

    chunks, table = chunks_of(engine, TEXTS[0]), engine.model.baked_context_embedding
    full = ours(engine, chunks, 1, 18)
    with changed(engine.model, baked_context_embedding_len=torch.tensor([20, 1, 20, 20, 20])):
        short = ours(engine, chunks, 1, 18)
        scrambled = torch.nn.Embedding.from_pretrained(table.weight.clone())
        scrambled.weight.view(5, 20, -1)[1, 1:] = 100.0
        with changed(engine.model, baked_context_embedding=scrambled):
            assert ours(engine, chunks, 1, 18) == short
    assert short != full


def test_text_voice_seed_and_guidance_all_matter(engine: MagpieEngine) -> None:
    hello, other = chunks_of(engine, TEXTS[0]), chunks_of(engine, TEXTS[3])
    made = [
        ours(engine, hello, 2, 18),
        ours(engine, other, 2, 18),
        ours(engine, hello, 3, 18),
        ours(engine, hello, 2, 19),
        ours(engine, hello, 2, 18, guidance=False),
    ]
    assert all(a != b for i, a in enumerate(made) for b in made[:i])


def test_an_utterance_is_the_same_alone_and_among_others_that_come_and_go(either: MagpieEngine) -> None:
    texts = [*TEXTS, *PARTS, "x"]
    all_chunks = [chunks_of(either, text) for text in texts]
    all_chunks[2] = chunks_of(either, *PARTS)
    alone = [ours(either, chunks, i % 5, i) for i, chunks in enumerate(all_chunks)]
    decoder = decoder_of(either, capacity=4)
    waiting, speaking, made = list(enumerate(all_chunks)), {}, {i: [] for i in range(len(texts))}
    tick = 0
    while waiting or speaking:
        if waiting and decoder.free_slots and tick % 3 == 0:
            i, chunks = waiting.pop(0)
            speaking[i] = decoder.open(chunks, i % 5, i)
        stepping = [i for i in speaking if (i + tick) % 5]  # everybody sits out every fifth step
        frames = decoder.step([speaking[i] for i in reversed(stepping)]) if stepping else []
        for i, frame in zip(reversed(stepping), frames, strict=True):
            made[i].append(frame.codes)
            if frame.done:
                decoder.close(speaking.pop(i))
        tick += 1
    assert [joined(made[i]) for i in range(len(texts))] == alone


def test_a_failed_step_can_be_repeated(engine: MagpieEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = chunks_of(engine, *PARTS)
    undisturbed = ours(engine, chunks, 0, 8)
    decoder = decoder_of(engine)
    utterance, made = decoder.open(chunks, 0, 8), []
    genuine, calls = decoder._sampler.draw, 0

    def draw(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise RuntimeError("out of memory")
        return genuine(*arguments)

    monkeypatch.setattr(decoder._sampler, "draw", draw)
    failures = 0
    while not made or not made[-1].done:
        try:
            made += decoder.step([utterance])
        except RuntimeError:
            failures += 1
    assert failures > 5
    assert joined([frames.codes for frames in made]) == undisturbed


def test_a_slot_that_held_something_broken_is_as_good_as_new(engine: MagpieEngine) -> None:
    import torch

    chunks = chunks_of(engine, TEXTS[0])
    decoder = decoder_of(engine, capacity=1)
    first = decoder.open(chunks_of(engine, PARTS[0]), 1, 1)
    for _ in range(30):
        decoder.step([first])
    with torch.inference_mode():
        for store in (decoder._keys, decoder._values, decoder._text_keys, decoder._text_values):
            store.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError):
        decoder.step([first])
    decoder.close(first)
    assert to_the_end(decoder, decoder.open(chunks, 2, 5)) == ours(engine, chunks, 2, 5)


@pytest.mark.usefixtures("nemo")
def test_random_numbers_are_fair_and_differ_by_seed_step_and_codebook() -> None:
    import torch

    from nemotron_speech.engines.magpie_tts.sampling import Draw, gumbel

    draws = [Draw(seed, step, True, False) for seed in (0, 1, 2**63 - 1) for step in range(20)]
    noise = gumbel(draws, 8, 2000, "cpu")
    uniform = torch.exp(-torch.exp(-noise.double())).flatten()
    assert abs(uniform.mean() - 0.5) < 0.002
    shares = torch.histc(uniform, 100, 0, 1) / len(uniform)
    assert (shares - 0.01).abs().max() < 0.0005
    rows = noise.view(-1, 2000)
    correlation = torch.corrcoef(rows[:200]) - torch.eye(200)
    assert correlation.abs().max() < 0.13
    assert noise.isfinite().all()


def joined(codes: list[Any]) -> list[list[int]]:
    import torch

    return torch.cat(codes, dim=1).tolist()
