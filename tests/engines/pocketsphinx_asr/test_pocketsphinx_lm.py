"""The grammar, the model estimated from it, and the one that is shipped."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from nemotron_speech.engines.pocketsphinx_asr.engine import GRAMMAR
from nemotron_speech.engines.pocketsphinx_asr.grammar import parse_grammar
from nemotron_speech.engines.pocketsphinx_asr.lm import TrigramModel, read_vocabulary
from nemotron_speech.errors import ConfigurationError
from nemotron_speech.responder.talk.understanding import IntentName, understand

SMALL = """
grammar small; // a comment
public <greet> = /3/ hello [there] | (hi | hey) <who>;
<who> = you /* inner */ | all;
"""


def test_every_sentence_of_a_grammar_can_be_drawn_and_no_other() -> None:
    drawn = {" ".join(words) for words in parse_grammar(SMALL).sentences(400)}
    assert drawn == {
        "hello",
        "hello there",
        *(" ".join(pair) for pair in product(("hi", "hey"), ("you", "all"))),
    }


def test_the_same_seed_draws_the_same_sentences() -> None:
    grammar = parse_grammar(SMALL)
    assert list(grammar.sentences(20)) == list(grammar.sentences(20))
    assert list(grammar.sentences(20)) != list(grammar.sentences(20, seed=1))


def test_weights_make_an_alternative_more_frequent() -> None:
    drawn = [words[0] for words in parse_grammar(SMALL).sentences(2000)]
    assert drawn.count("hello") / len(drawn) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("a | <nowhere>", "nowhere"),
        ("a ( b", "lacks"),
        ("a ] b", "unbalanced"),
        ("a | | b", "empty"),
        ("A+", "not understood"),
    ],
)
def test_a_wrong_rule_is_named(body: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        parse_grammar(f"public <rule> = {body};")


def test_probabilities_after_any_history_sum_to_one() -> None:
    sentences = [["a", "b", "a"], ["b"], ["a", "a", "c"]]
    model = TrigramModel(sentences)
    for history in [(), ("a",), ("<s>",), ("<s>", "a"), ("a", "b"), ("c", "c")]:
        assert sum(model.probability(word, history) for word in ("a", "b", "c", "</s>")) == pytest.approx(1)


def test_what_was_seen_is_likelier_than_what_was_not() -> None:
    model = TrigramModel([["what", "is", "it"], ["what", "was", "that"]])
    assert model.probability("is", ("<s>", "what")) > 3 * model.probability("it", ("<s>", "what")) > 0


def test_the_vocabulary_of_an_arpa_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "small.arpa"
    path.write_text(TrigramModel([["a", "b"]]).arpa())
    assert read_vocabulary(path) == {"<s>", "</s>", "a", "b"}


def test_every_word_of_the_shipped_grammar_can_be_pronounced() -> None:
    pocketsphinx = pytest.importorskip("pocketsphinx")
    dictionary = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    known = {line.split()[0] for line in dictionary.read_text().splitlines()}
    assert parse_grammar(GRAMMAR.read_text()).words() <= known


def test_the_responder_understands_what_the_shipped_grammar_says() -> None:
    drawn = [" ".join(words) for words in parse_grammar(GRAMMAR.read_text()).sentences(60, seed=7)]
    unknown = sorted({text for text in drawn if understand(text).name is IntentName.UNKNOWN})
    assert len(unknown) < 0.06 * len(drawn), unknown
