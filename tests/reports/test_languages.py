"""Languages by any tag."""

from __future__ import annotations

import pytest

from nemotron_speech.errors import BadRequest
from nemotron_speech.languages import matched
from nemotron_speech.protocol.tts_streams import Capabilities, TtsServer

OFFERED = ("en", "de", "zh", "zh-hant", "pt-BR", "es-419")


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("en-US", "en"),
        ("en_US", "en"),
        ("en-GB-oed", "en"),
        ("de-DE", "de"),
        ("zh-CN", "zh"),
        ("zh-Hant-TW", "zh-hant"),
        ("pt", "pt-BR"),
        ("pt_br", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("es", "es-419"),
    ],
)
def test_a_tag_names_the_language_it_means(tag: str, language: str) -> None:
    assert matched(tag, OFFERED) == language


@pytest.mark.parametrize("tag", ["fr", "english", "-", " ", "e"])
def test_a_language_that_is_not_offered_is_refused_with_those_that_are(tag: str) -> None:
    with pytest.raises(BadRequest, match="allowed: en, de"):
        matched(tag, OFFERED)


def test_a_synthesis_connection_takes_any_spelling() -> None:
    server = TtsServer(lambda: Capabilities(22050, ("aria",), OFFERED, ("balanced",)))
    server.receive('{"type":"init","language":"de_DE"}')
    with pytest.raises(BadRequest, match="unknown language 'fr-FR'"):
        server.receive('{"type":"init","language":"fr-FR"}')
