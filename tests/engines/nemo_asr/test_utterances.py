"""Where an utterance ends: the last word is in its final, wherever the cut, and in no other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies

from nemotron_speech.engines.base import AsrResult, AsrWork, Flush
from nemotron_speech.engines.nemo_asr.engine import NemoAsrEngine
from tests.engines.nemo_asr import offline
from tests.engines.nemo_asr.conftest import MakeEngine
from tests.engines.nemo_asr.streams import recognise
from tests.engines.nemo_asr.tiny_models import RATE, babble

SPEECH = babble(3.2, 7)
CUTS = strategies.integers(160, len(SPEECH) - 160)
any_cut = settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(params=[0, 1, 6])
def right(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def engine(right: int, make_engine: MakeEngine) -> NemoAsrEngine:
    return make_engine("rnnt", right_context=right)


def hear(engine: NemoAsrEngine, stream: Any, pcm: bytes, flush: Flush) -> AsrResult:
    result = engine.step([AsrWork(stream, pcm, flush)])[0]
    assert isinstance(result, AsrResult), result
    return result


@any_cut
@given(cut=CUTS)
def test_a_final_is_all_of_its_audio_and_nothing_else(
    cut: int, right: int, engine: NemoAsrEngine, reference: Callable[[str, int], Any]
) -> None:
    model = reference("rnnt", right)
    first, second = SPEECH[:cut], SPEECH[cut:]
    assert recognise(engine, first, second) == [offline.recognise(model, x) for x in (first, second)]


@any_cut
@given(cut=CUTS)
def test_a_soft_flush_reports_the_last_word_and_changes_nothing(
    cut: int, right: int, engine: NemoAsrEngine, reference: Callable[[str, int], Any]
) -> None:
    model = reference("rnnt", right)
    stream = engine.open(None)
    soft = hear(engine, stream, SPEECH[:cut].tobytes(), Flush.SOFT)
    again = hear(engine, stream, b"", Flush.SOFT)
    hard = hear(engine, stream, SPEECH[cut:].tobytes(), Flush.HARD)
    engine.close(stream)
    assert soft == again
    assert offline.spaced(soft.text) == offline.recognise(model, SPEECH[:cut])
    assert offline.spaced(hard.text) == offline.recognise(model, SPEECH)


def test_an_utterance_without_audio_is_empty_and_harmless(engine: NemoAsrEngine) -> None:
    nothing, blink = SPEECH[:0], SPEECH[:100]
    assert recognise(engine, nothing, blink, SPEECH, nothing) == ["", "", recognise(engine, SPEECH)[0], ""]


def test_the_samples_wanted_are_exact(engine: NemoAsrEngine, right: int) -> None:
    """A step takes a chunk, no more and no less often: 80 ms times one more than the look-ahead."""
    stream, wanted = engine.open(None), []
    for _ in range(5):
        wanted.append(stream.wanted_samples)
        position = stream.tail.frames
        hear(engine, stream, bytes(2 * stream.wanted_samples - 2), Flush.NONE)
        assert (stream.tail.frames, stream.wanted_samples) == (position, 1)
        hear(engine, stream, bytes(2), Flush.NONE)
        assert stream.tail.frames > position
    window = 200
    assert wanted == [1280 * right + window, *[1280 * (right + 1)] * 4]
    assert engine.step_ms == 80 * (right + 1)


def test_audio_in_pieces_of_any_size_says_the_same(engine: NemoAsrEngine) -> None:
    rng = np.random.default_rng(3)
    stream, at = engine.open(None), 0
    while at < len(SPEECH):
        size = int(rng.integers(1, 30_000))
        hear(engine, stream, SPEECH[at : at + size].tobytes(), Flush.NONE)
        at += size
    final = hear(engine, stream, b"", Flush.HARD)
    assert offline.spaced(final.text) == recognise(engine, SPEECH)[0]


def test_words_lie_on_the_stream_s_clock(engine: NemoAsrEngine) -> None:
    stream, start = engine.open(None), 0.0
    for seed in (1, 2, 3):
        audio = babble(1.5, seed)
        final = hear(engine, stream, audio.tobytes(), Flush.HARD)
        end = start + len(audio) * 1000 / RATE
        assert offline.spaced(" ".join(word.text for word in final.words)) == offline.spaced(final.text)
        assert len(final.words) > 1
        for word, following in zip(final.words, [*final.words[1:], None], strict=True):
            assert start <= word.start_ms < word.end_ms <= end
            assert word.confidence is not None
            assert 0 <= word.confidence <= 1
            assert following is None or following.start_ms >= word.start_ms
        start = end


@pytest.mark.parametrize(("kind", "decoder"), [("ctc", "ctc"), ("hybrid", "rnnt"), ("hybrid", "ctc")])
def test_words_have_times_and_confidence_whatever_the_decoder(
    kind: str, decoder: str, make_engine: MakeEngine
) -> None:
    engine = make_engine(kind, right_context=1, decoder=decoder)
    final = hear(engine, engine.open(None), SPEECH.tobytes(), Flush.HARD)
    assert [word.text for word in final.words] == final.text.split()
    assert len(final.words) > 1
    assert all(0 <= word.start_ms < word.end_ms <= len(SPEECH) * 1000 / RATE for word in final.words)
    assert all(word.confidence is not None and 0 < word.confidence <= 1 for word in final.words)


def test_the_mark_for_the_end_of_an_utterance_is_told_and_is_no_text(make_engine: MakeEngine) -> None:
    """What a random model says most is taken for its mark: `ended` follows the last token, step by step."""
    engine = make_engine("rnnt", right_context=1)
    assert engine.info.marks_end
    vocabulary, said, told = engine._loaded()[0].vocabulary, [], []
    stream = engine.open(None)
    extend = stream.transcript.extend
    stream.transcript.extend = lambda tokens: (said.extend(t.id for t in tokens), extend(tokens))[1]  # type: ignore[method-assign]
    hear(engine, stream, SPEECH.tobytes(), Flush.NONE)
    mark = max(set(said), key=said.count)
    vocabulary.marks = vocabulary.end_marks = frozenset({mark})
    for at in range(0, len(SPEECH), 2560):
        result = hear(engine, stream, SPEECH[at : at + 2560].tobytes(), Flush.NONE)
        told.append(result.ended)
        assert result.ended == (said[-1] == mark)
    assert {True, False} == set(told)
    hear(engine, stream, b"", Flush.HARD)
    assert not hear(engine, stream, b"", Flush.NONE).ended


def test_interims_only_ever_grow(engine: NemoAsrEngine) -> None:
    stream = engine.open(None)
    pieces = [SPEECH[at : at + 1600].tobytes() for at in range(0, len(SPEECH), 1600)]
    texts = [hear(engine, stream, piece, Flush.NONE).text for piece in pieces]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert len(set(texts)) > 3
