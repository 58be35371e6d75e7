"""What a listener says without wanting the floor, and what silences the bot, language by language."""

from __future__ import annotations

import pytest

from pipecat_bots.settings import BotSettings
from pipecat_bots.turn_text.languages import LANGUAGES
from pipecat_bots.turn_text.phrases import BACKCHANNELS, STOP, phrases


def test_every_language_whose_turns_are_read_has_assent_and_stop_words() -> None:
    assert set(BACKCHANNELS) == set(STOP) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "assent", "stop"),
    [
        ("en", "Yeah, right.", "Be quiet!"),
        ("de-AT", "Ach so, ja.", "Sei still"),
        ("es_MX", "Sí, claro.", "¡Basta!"),
        ("fr", "D'accord.", "Arrête !"),
        ("it-IT", "Sì, va bene.", "Basta così."),
        ("pt-BR", "Tá bom.", "Chega!"),
        ("nl", "okay", "stop"),
    ],
)
def test_assent_and_stop_words_are_those_of_the_language(language: str, assent: str, stop: str) -> None:
    listener, silencer = phrases(None, language, BACKCHANNELS), phrases(None, language, STOP)
    assert listener.make_up(assent)
    assert silencer.make_up(stop)
    assert not listener.make_up(stop)
    assert not silencer.make_up(assent)


def test_a_list_of_ones_own_takes_the_place_of_the_languages() -> None:
    assert phrases("go on, sí", "en", BACKCHANNELS).make_up("Sí, go on!")
    assert not phrases("", "en", BACKCHANNELS).make_up("mhm")


@pytest.mark.parametrize(
    ("recogniser", "spoken"), [(None, "it"), ("", "it"), ("auto", "it"), ("pt", "pt"), ("de-AT", "de-AT")]
)
def test_the_users_language_is_the_recognisers_where_it_is_named(recogniser: str | None, spoken: str) -> None:
    assert BotSettings(bot_language="it", bot_asr_language=recogniser).user_language == spoken
