"""OpenAI's names for voices and models, on engines with other voices."""

from __future__ import annotations

from collections import Counter

import pytest

from nemotron_speech.engines.espeak_tts.engine import EspeakEngine
from nemotron_speech.errors import BadRequest
from nemotron_speech.tts.openai_names import VOICES, model_id, voice_of

KOKORO = ("af_heart", "af_alloy", "af_nova", "am_echo", "am_onyx", "bm_fable")


def test_each_of_openais_thirteen_voices_speaks_and_they_are_spread_over_what_there_is() -> None:
    assert len(VOICES) == 13
    for voices in (EspeakEngine().info.voices, KOKORO, ("a", "b", "c"), ("only",)):
        used = Counter(voice_of(name, voices, {}) for name in VOICES)
        assert set(used) <= set(voices)
        assert len(used) >= min(len(voices), 5)


def test_voices_of_the_same_name_are_found() -> None:
    assert [voice_of(name, KOKORO, {}) for name in ("alloy", "echo", "fable", "nova", "onyx")] == [
        "af_alloy",
        "am_echo",
        "bm_fable",
        "af_nova",
        "am_onyx",
    ]


def test_the_engines_own_names_come_first_then_those_that_are_set() -> None:
    assert voice_of("alloy", ("aria", "alloy"), {"alloy": "aria"}) == "alloy"
    assert voice_of("alloy", ("aria", "john"), {"alloy": "john"}) == "john"
    assert voice_of("narrator", ("aria", "john"), {"narrator": "john"}) == "john"
    assert voice_of("ARIA", ("aria", "john"), {}) == "aria"


def test_an_unknown_voice_is_refused_with_all_that_are_allowed() -> None:
    with pytest.raises(BadRequest, match="'robot'; allowed: aria, john, narrator, alloy, ash"):
        voice_of("robot", ("aria", "john"), {"narrator": "john"})


def test_a_name_set_to_a_voice_that_is_not_there_is_refused_with_both() -> None:
    with pytest.raises(BadRequest, match="'alloy' is set to stand for 'bob', which is not one of aria, john"):
        voice_of("alloy", ("aria", "john"), {"alloy": "bob"})


@pytest.mark.parametrize(
    ("model", "id"),
    [
        ("espeak-ng 1.52.0", "espeak-ng-1.52.0"),
        ("nvidia/magpie_tts_multilingual_357m", "nvidia/magpie_tts_multilingual_357m"),
        ("a  model (of two)", "a-model-of-two"),
    ],
)
def test_a_models_id_has_no_spaces(model: str, id: str) -> None:
    assert model_id(model) == id
