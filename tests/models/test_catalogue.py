"""What the catalogue says holds together."""

from __future__ import annotations

import re

import msgspec
import pytest

from nemotron_speech import models
from nemotron_speech.cli.model_choice import largest_that_runs
from nemotron_speech.engines.registry import asr_names, asr_options, tts_names, tts_options
from nemotron_speech.models import catalogue
from nemotron_speech.models.catalogue import Entry, ModelFile
from nemotron_speech.supervisor.profiles import PROFILES

ENTRIES = models.entries().values()
FILES = [pytest.param(file, id=f"{entry.name}/{file.path}") for entry in ENTRIES for file in entry.files]


def test_the_catalogue_has_models_for_each_role_by_their_names() -> None:
    assert {entry.role for entry in ENTRIES} == {"asr", "tts", "llm"}
    assert {"moonshine-tiny-en", "whisper-tiny.en", "joe", "qwen2.5-coder-0.5b"} <= set(models.entries())


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_a_hash_and_a_source_and_its_parts_are_all_of_it(file: ModelFile) -> None:
    assert re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert file.url.startswith("https://") or file.parts
    assert not file.parts or sum(part.bytes for part in file.parts) == file.bytes
    assert all(re.fullmatch("[0-9a-f]{64}", part.archive_sha256) for part in file.parts)
    assert ".." not in file.path
    assert not file.path.startswith("/")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_options_of_a_model_are_files_of_it_and_options_of_its_engines(entry: Entry) -> None:
    assert "model" in entry.options
    assert set(entry.options.values()) <= {".", *(file.path for file in entry.files)}
    for engine in entry.engines:
        takes = asr_options if engine in asr_names() else tts_options if engine in tts_names() else None
        assert takes is None or set(entry.options) <= takes(engine)


def test_a_word_the_catalogue_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = catalogue._text().replace('role = "asr"', 'roles = "asr"', 1)
    monkeypatch.setattr(catalogue, "_text", lambda: text)
    with pytest.raises(msgspec.ValidationError, match="roles"):
        catalogue.entries.__wrapped__()


@pytest.mark.parametrize(
    ("memory_mb", "cores", "name"),
    [
        (16_000, 8, "qwen2.5-coder-1.5b"),
        (16_000, 2, "qwen2.5-coder-0.5b"),
        (3_000, 8, "qwen2.5-coder-0.5b"),
        (500, 1, "qwen2.5-coder-0.5b"),
    ],
)
def test_the_largest_language_model_that_a_machine_runs_is_taken(
    memory_mb: float, cores: int, name: str
) -> None:
    assert largest_that_runs(PROFILES["local"].llms, memory_mb, cores) == name


def test_the_models_of_the_profiles_are_for_their_engines() -> None:
    for profile in PROFILES.values():
        for name, engine in ((profile.asr_model, profile.asr.name), (profile.tts_voice, profile.tts.name)):
            assert not name or engine in models.entries()[name].engines
        assert all(models.entries()[name].role == "llm" for name in profile.llms)
