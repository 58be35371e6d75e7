"""Where an utterance is in its text, where NeMo's rules do not say (`test_decoder.py` has those)."""

from __future__ import annotations

import numpy as np

from nemotron_speech.engines.magpie_tts.alignment import Alignment, AlignmentRules

RULES = AlignmentRules(
    enabled=True,
    epsilon=0.1,
    lookahead=5,
    first_weights=(0.5, 1.0, 0.8, 0.2, 0.2),
    weights=(0.2, 1.0, 0.6, 0.4, 0.2, 0.2),
    short_text=35,
    near_end=3,
    sink=10,
    forced_end=3,
    allow_end_after=1,
    allow_end_after_last=5,
    finished_after_first=20,
    finished_after=5,
)


def towards(position: int, window: int) -> np.ndarray:
    scores = np.full(window, 0.01, np.float32)
    scores[position] = 1.0
    return scores


def test_a_chunk_after_one_that_ended_early_is_spoken_from_its_beginning() -> None:
    alignment = Alignment(RULES).at_chunk(50, 50, final=False)
    alignment = alignment.after(towards(3, 50))
    alignment = alignment.at_chunk(40, 60, final=True).after(towards(2, 60))
    assert alignment.attended == 2
    assert not alignment.must_end


def test_a_later_chunk_opens_at_its_own_text_and_leaves_the_history_alone() -> None:
    alignment = Alignment(RULES).at_chunk(50, 50, final=False).after(towards(3, 50))
    prior = alignment.at_chunk(40, 60, final=True).prior
    assert prior is not None
    assert prior[:20].max() < 0.02
    assert prior[20:25].tolist() == np.float32([0.5, 1.0, 0.8, 0.2, 0.2]).tolist()


def test_attention_that_stands_still_is_moved_on() -> None:
    alignment = Alignment(RULES).at_chunk(50, 50, final=True)
    positions = []
    for _ in range(40):
        alignment = alignment.after(towards(3, 50))
        positions.append(alignment.attended)
    assert positions[:4] == [3, 3, 3, 3]
    assert positions == sorted(positions)
    assert positions[-1] > 5


def test_a_step_leaves_the_alignment_before_it_as_it_was() -> None:
    before = Alignment(RULES).at_chunk(20, 20, final=True)
    once, again = before.after(towards(4, 20)), before.after(towards(4, 20))
    assert once.prior is not None
    assert again.prior is not None
    assert once.prior.tolist() == again.prior.tolist()
    assert before.prior is None
