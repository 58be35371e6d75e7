"""What is committed stays, whatever a recogniser says next."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nemotron_speech.engines.base import Word
from nemotron_speech.engines.whisper_asr.local_agreement import LocalAgreement


def words(text: str, start_ms: int = 0, each_ms: int = 300) -> list[Word]:
    return [
        Word(word, start_ms + i * each_ms, start_ms + (i + 1) * each_ms)
        for i, word in enumerate(text.split())
    ]


def text(said: Sequence[Word]) -> str:
    return " ".join(word.text for word in said)


def agreement_on(*hypotheses: Sequence[Word]) -> LocalAgreement:
    agreement = LocalAgreement()
    for hypothesis in hypotheses:
        agreement.hear(hypothesis)
    return agreement


def test_one_hypothesis_commits_nothing() -> None:
    agreement = agreement_on(words("turn on the light"))
    assert agreement.committed == ()
    assert text(agreement.words) == "turn on the light"


def test_what_two_hypotheses_share_is_committed_but_for_the_last_word() -> None:
    agreement = agreement_on(words("turn on the"), words("turn on the light"))
    assert text(agreement.committed) == "turn on the"
    assert text(agreement_on(words("turn on the"), words("turn on the")).committed) == "turn on"


def test_what_changes_between_hypotheses_is_not_committed() -> None:
    agreement = agreement_on(words("turn of the ley"), words("turn on the light please"))
    assert text(agreement.committed) == "turn"
    assert text(agreement.words) == "turn on the light please"


def test_case_and_punctuation_do_not_stand_in_the_way() -> None:
    agreement = agreement_on(words("turn on. The"), words("Turn on the light"))
    assert text(agreement.committed) == "Turn on the"


def test_a_preview_changes_nothing() -> None:
    agreement = agreement_on(words("turn on the"), words("turn on the light"))
    before = agreement.words
    assert text(agreement.preview(words("turn on the light please"))) == "turn on the light please"
    assert agreement.words == before


def test_a_hypothesis_over_the_whole_utterance_replaces_what_earlier_ones_agreed_on() -> None:
    agreement = agreement_on(words("turn on the"), words("turn on the light"))
    agreement.hear(words("burn gone the light please"))
    assert text(agreement.words) == "burn gone the light please"
    assert agreement.committed == ()
    assert text(agreement.preview(words("learn on"))) == "learn on"


def test_a_hypothesis_over_a_shortened_buffer_only_adds_what_is_later() -> None:
    agreement = agreement_on(words("turn on the"), words("turn on the light"))
    agreement.forget_audio(300)
    agreement.hear(words("gone the light please", 300))
    assert text(agreement.words) == "turn on the light please"


def test_a_shortened_buffer_goes_on_where_the_committed_words_end() -> None:
    agreement = agreement_on(words("turn on the"), words("turn on the light"))
    agreement.forget_audio(900)
    agreement.hear(words("light in the", 900))
    assert text(agreement.words) == "turn on the light in the"


def test_what_a_shortened_buffer_repeats_is_heard_once() -> None:
    agreement = agreement_on(words("turn on the"), words("turn on the light"))
    agreement.forget_audio(900)
    agreement.hear(words("on the light", 1000))
    assert text(agreement.words) == "turn on the light"


def test_the_same_words_said_again_later_are_kept() -> None:
    agreement = agreement_on(words("no no no"), words("no no no no"))
    agreement.forget_audio(900)
    agreement.hear(words("no no no", 5000))
    assert text(agreement.words) == "no no no no no no"


def test_audio_that_goes_takes_its_tentative_words_into_the_text() -> None:
    agreement = agreement_on(words("turn on the light"))
    agreement.forget_audio(600)
    assert text(agreement.committed) == "turn on"
    assert text(agreement.words) == "turn on the light"


VOCABULARY = st.sampled_from(["a", "b", "A,", "c.", "—"])
HYPOTHESIS = st.lists(
    st.tuples(VOCABULARY, st.integers(0, 4000), st.integers(0, 600)).map(
        lambda item: Word(item[0], item[1], item[1] + item[2])
    ),
    max_size=8,
)
STEPS = st.lists(st.one_of(HYPOTHESIS, st.integers(0, 5000)), max_size=12)


@given(STEPS, HYPOTHESIS)
def test_committed_text_is_never_retracted_and_begins_the_final(
    steps: list[list[Word] | int], last: list[Word]
) -> None:
    agreement, committed = LocalAgreement(), ()
    for item in steps:
        if isinstance(item, int):
            agreement.forget_audio(item)
        else:
            agreement.hear(item)
        assert agreement.committed[: len(committed)] == committed
        committed = () if agreement.whole else agreement.committed
        assert agreement.words[: len(committed)] == committed
    assert agreement.preview(last)[: len(committed)] == committed


@given(STEPS)
def test_words_never_run_backwards(steps: list[list[Word] | int]) -> None:
    agreement = LocalAgreement()
    for item in steps:
        if isinstance(item, int):
            agreement.forget_audio(item)
        else:
            agreement.hear(item)
    starts = [word.start_ms for word in agreement.words]
    assert starts == sorted(starts)
    assert all(word.start_ms <= word.end_ms for word in agreement.words)


@given(st.lists(st.sampled_from(["yes", "no", "well", "so"]), min_size=1, max_size=40), st.data())
def test_a_recogniser_that_only_errs_about_its_last_word_is_committed_word_for_word(
    said: list[str], data: st.DataObject
) -> None:
    timed = words(" ".join(said))
    agreement = LocalAgreement()
    for end in range(1, len(timed) + 1):
        cut = Word(
            data.draw(st.sampled_from(["ye", "n", "w"])), timed[end - 1].start_ms, timed[end - 1].end_ms
        )
        agreement.hear([*timed[: end - 1], cut])
        if data.draw(st.booleans()) and agreement.committed:
            agreement.forget_audio(0)
    assert list(agreement.preview(timed)) == timed
    assert len(agreement.committed) >= len(timed) - 2
