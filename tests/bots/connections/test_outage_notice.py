from __future__ import annotations

import pytest

from pipecat_bots.connections.outage_notice import (
    BACK,
    BACK_WITHOUT_WORDS,
    LOST_RECOGNISER,
    LostRecogniser,
    Owed,
)


class Voice:
    def __init__(self) -> None:
        self.said: list[str] = []

    async def __call__(self, text: str) -> None:
        self.said.append(text)


async def test_a_loss_in_silence_is_announced_at_once() -> None:
    voice = Voice()
    announcer = LostRecogniser(voice)
    await announcer.lost()
    assert voice.said == [LOST_RECOGNISER]


async def test_a_loss_while_the_user_speaks_is_announced_when_the_user_has_finished() -> None:
    voice = Voice()
    announcer = LostRecogniser(voice)
    announcer.turn_started()
    await announcer.lost()
    assert voice.said == []
    await announcer.turn_stopped()
    assert voice.said == [LOST_RECOGNISER]


async def test_a_turn_after_the_recovery_is_not_commented_on() -> None:
    voice = Voice()
    announcer = LostRecogniser(voice)
    announcer.turn_started()
    await announcer.lost()
    await announcer.recovered()
    await announcer.turn_stopped()
    assert voice.said == []


async def test_every_turn_without_a_recogniser_is_told_so() -> None:
    voice = Voice()
    announcer = LostRecogniser(voice)
    await announcer.lost()
    announcer.turn_started()
    await announcer.turn_stopped()
    assert voice.said == [LOST_RECOGNISER] * 2


@pytest.mark.parametrize(
    ("owed", "follows"),
    [(Owed.NOTHING, [BACK]), (Owed.ANSWER, []), (Owed.REPETITION, [BACK_WITHOUT_WORDS])],
)
async def test_something_follows_an_apology_when_the_recogniser_is_back(
    owed: Owed, follows: list[str]
) -> None:
    voice = Voice()
    announcer = LostRecogniser(voice)
    await announcer.lost()
    await announcer.recovered(owed)
    await announcer.recovered(owed)
    assert voice.said == [LOST_RECOGNISER, *follows]


async def test_words_that_were_waited_for_and_are_none_are_asked_for_again() -> None:
    voice = Voice()
    announcer = LostRecogniser(voice)
    await announcer.lost()
    await announcer.recovered(Owed.ANSWER)
    await announcer.unheard()
    assert voice.said == [LOST_RECOGNISER, BACK_WITHOUT_WORDS]
