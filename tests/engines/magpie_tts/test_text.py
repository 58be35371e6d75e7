"""Any text can be given to Magpie: what its tokenizer knows is spoken, what it does not is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import random_magpie as tiny
from nemotron_speech.engines.base import Segment, TtsResult

if TYPE_CHECKING:
    from nemotron_speech.engines.magpie_tts.engine import MagpieEngine


@pytest.fixture(scope="module")
def phonetic(folder: Path, codec: Path, make_engine: Callable[..., MagpieEngine]) -> MagpieEngine:
    """Speaks English by phonemes, with a dictionary of three words, and French by letters."""
    path = tiny.save_magpie(folder / "phonetic.nemo", codec, tokenizers=tiny.phonemes(folder))
    return make_engine(path)


def words(engine: MagpieEngine, text: str, language: str = "en") -> list[str]:
    return [word for chunk in engine.plan(text, language).chunks for word in chunk.words]


def test_languages_are_those_of_the_loaded_tokenizers(phonetic: MagpieEngine) -> None:
    assert phonetic.info.languages == ("en", "fr")


@pytest.fixture(scope="module")
def polyglot(many_tongues: Path, make_engine: Callable[..., MagpieEngine]) -> MagpieEngine:
    return make_engine(many_tongues, seed=18)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Hello world."),
        ("es", "¿Mañana, señor?"),
        ("de", "Schöne Grüße!"),
        ("fr", "Ça va, l'été ?"),
        ("it", "Perché no?"),
        ("vi", "Xin chào thế giới."),
        ("zh", "你好，世界。"),
    ],
)
def test_each_language_is_spoken_through_its_own_tokenizer(
    polyglot: MagpieEngine, language: str, text: str
) -> None:
    plan = polyglot.plan(text, language)
    assert plan.unspoken == ()
    (chunk,) = plan.chunks
    tokenizer, name = polyglot.model.tokenizer, polyglot._loaded()[0].texts[language]._name
    first = tokenizer.tokenizer_offsets[name]
    own = range(first, first + tokenizer.num_tokens_per_tokenizer[name])
    assert all(token in own for token in chunk.tokens[:-1])
    assert len(chunk.tokens) > sum(map(str.isalnum, text))
    stream = polyglot.open(Segment(text, "aria", language))
    assert isinstance(polyglot.step([stream])[0], TtsResult)
    polyglot.close(stream)


def test_a_checkpoint_of_seven_languages_speaks_seven(polyglot: MagpieEngine) -> None:
    assert set(polyglot.info.languages) == {"en", "es", "de", "fr", "it", "vi", "zh"}


def test_a_dictionary_travels_in_the_checkpoint(phonetic: MagpieEngine) -> None:
    (known,), (unknown,) = phonetic.plan("hello", "en").chunks, phonetic.plan("ehllo", "en").chunks
    assert known.tokens != unknown.tokens
    assert known.tokens[-1] == phonetic.model.eos_id


@pytest.mark.parametrize("name", ["engine", "phonetic"])
def test_what_has_no_sound_is_left_out_and_named(name: str, request: pytest.FixtureRequest) -> None:
    speaker: MagpieEngine = request.getfixturevalue(name)
    plan = speaker.plan("hello 日本 world \u200b🎉 again", "en")
    assert [word for chunk in plan.chunks for word in chunk.words] == ["hello", "world", "again"]
    assert {"日", "本", "🎉"} <= set(plan.unspoken)


@pytest.mark.parametrize(
    ("text", "plainer"),
    [
        ("it’s “fine” – no?", 'it\'s "fine" - no?'),
        ("naïve café", "naive cafe"),
        ("ﬁne ｆｕｌｌ", "fine full"),
        ("hello\tworld\n\nagain", "hello world again"),
    ],
)
def test_a_character_with_a_plainer_shape_is_spoken_as_that(
    engine: MagpieEngine, text: str, plainer: str
) -> None:
    plan, expected = engine.plan(text, "en"), engine.plan(plainer, "en")
    assert [chunk.tokens for chunk in plan.chunks] == [chunk.tokens for chunk in expected.chunks]
    assert plan.unspoken == ()


def test_every_token_belongs_to_its_word(engine: MagpieEngine) -> None:
    (chunk,) = engine.plan("one two, three", "en").chunks
    spelled = ["".join(sorted(set(w))) for w in chunk.words]
    assert len(chunk.word_of) == len(chunk.tokens)
    for number, word in enumerate(spelled):
        tokens = {t for t, w in zip(chunk.tokens[:-1], chunk.word_of[:-1], strict=True) if w == number}
        assert len(tokens) >= len(word)


def test_a_long_text_is_cut_at_sentence_ends_and_a_long_sentence_between_words(engine: MagpieEngine) -> None:
    sentence = " ".join(f"word{chr(97 + i % 26)}" for i in range(130))
    plan = engine.plan(f"Short one. {sentence}. Short again.", "en")
    sizes = [len(chunk.words) for chunk in plan.chunks]
    assert sizes[0] == sizes[-1] == 2
    assert sum(sizes) == 134
    assert max(sizes) <= 45
    assert min(sizes[1:-1]) > 20


@pytest.mark.parametrize("text", ["a" * 900, " ".join(["b" * 90] * 40), "First. " + "c" * 600 + " last."])
def test_a_word_of_any_length_fits_the_models_positions(engine: MagpieEngine, text: str) -> None:
    """Beyond them a CPU raises; a GPU stops working for everybody until the server is started anew."""
    chunks = engine.plan(text, "en").chunks
    positions = engine.model.encoder.position_embeddings.num_embeddings
    history = engine.model.chunked_inference_config.history_len_heuristic
    assert max(len(chunk.tokens) for chunk in chunks) <= positions - history
    spoken = "".join(word for chunk in chunks for word in chunk.words)
    assert spoken.lower() == text.replace(" ", "").lower()
    stream = engine.open(Segment(text, "aria"))
    assert isinstance(engine.step([stream])[0], TtsResult)
    engine.close(stream)


def test_a_tokenizer_that_raises_is_survived(engine: MagpieEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = engine.model.tokenizer
    genuine = tokenizer.encode

    def fragile(text: str, tokenizer_name: str) -> list[int]:
        if "boom" in text or len(text) > 30:
            raise IndexError("pop from empty list")
        return genuine(text=text, tokenizer_name=tokenizer_name)

    monkeypatch.setattr(tokenizer, "encode", fragile)
    assert words(engine, "hello boom, and then the world again") == [
        "hello",
        *"boom",
        "and",
        "then",
        "the",
        "world",
        "again",
    ]


@pytest.mark.parametrize("language", ["en", "fr"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_no_text_is_an_error(phonetic: MagpieEngine, language: str, text: str) -> None:
    plan = phonetic.plan(text, language)
    vocabulary = len(phonetic.model.tokenizer.tokens)
    for chunk in plan.chunks:
        assert len(chunk.tokens) > 1
        assert all(0 <= token < vocabulary for token in chunk.tokens[:-1])
