"""Settings of the speech servers, read from the environment, each with its default and its meaning."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from nemotron_speech import env_file
from nemotron_speech.engine_options import Options
from nemotron_speech.errors import ConfigurationError


class Settings(BaseSettings):
    """Settings of a process: flags come before the environment, that before `.env`, that before defaults.

    A variable that is empty counts as not set.
    """

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)

RIGHT_CONTEXTS = (0, 1, 6, 13)
"""Look-aheads of the released NeMo streaming models, in frames of 80 ms; a step is one frame more."""


class YapSettings(Settings):
    """The many-caller recognition server (`python -m nemotron_speech.yap_server`)."""

    model_config = SettingsConfigDict(env_prefix="ASR_")

    host: str = Field(default="0.0.0.0", description="Address the many-caller server listens on.")
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Its port. When set, `nemotron_speech.server` serves this protocol there too.",
    )
    model: str = Field(
        default="nvidia/stt_en_fastconformer_hybrid_large_streaming_multi",
        description="A name on the hub, or a .nemo file.",
    )
    att_ctx: str = Field(
        default="70,1",
        pattern=r"^\s*\d+\s*,\s*\d+\s*$",
        description="Attention context, left and look-ahead, in frames of 80 ms.",
    )
    decoder: Literal["rnnt", "ctc"] = Field(default="rnnt", description="`rnnt` or `ctc`.")
    device: str = Field(default="cuda:0", description="Where the model runs: cuda:0, cpu.")
    step_ms: float = Field(
        default=20.0, ge=0, description="Least time between two steps of the engine that are not full."
    )
    max_batch: int = Field(
        default=128,
        ge=1,
        description="Callers in one step; also callers served at once, unless the engine option `capacity` "
        "says otherwise.",
    )

    def engine_options(self, taken: Collection[str], *, defaults: bool) -> dict[str, str | int]:
        """Return these settings as options of an engine that takes the options `taken`.

        Args:
            defaults: Also what the environment does not set.
        """
        fields = self.model_dump() if defaults else self.model_dump(exclude_unset=True)
        options = {name: fields[name] for name in _ENGINE_OPTIONS if name in fields}
        if "max_batch" in options:
            options["capacity"] = options["max_batch"]
        return {name: value for name, value in options.items() if name in taken}


_ENGINE_OPTIONS = ("model", "att_ctx", "decoder", "device", "max_batch")


class AsrSettings(Settings):
    """The streaming recognition server (`python -m nemotron_speech.server`)."""

    model_config = SettingsConfigDict(env_prefix="NEMOTRON_ASR_")

    host: str = Field(default="127.0.0.1", description="Address the recognition server listens on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Its port; 0 takes a free one.")
    engine: str = Field(default="pocketsphinx", description="Which recogniser: an engine's name.")
    options: Options = Field(
        default_factory=dict,
        description="Options of the engine, as a JSON object; those of one engine alone under its name: "
        '{"whisper": {"model": "small"}}.',
    )
    max_backlog_s: float = Field(
        default=30.0,
        gt=0,
        description="Audio a caller may be ahead of the recogniser before it is slowed down.",
    )
    step_ms: float = Field(
        default=0.0,
        ge=0,
        description="Least time between two steps of the engine that are not full; 0 steps whoever is ready.",
    )
    yap_port: int | None = Field(
        default=None, ge=0, le=65535, description="Port of the many-caller protocol, when it is wanted too."
    )
    yap_host: str | None = Field(default=None, description="Its address, when it is another one.")
    drain_s: float = Field(
        default=10.0, ge=0, description="How long callers may finish when the server stops."
    )

    @classmethod
    def with_yap(cls) -> Self:
        """Read the settings of a server that also speaks the many-caller protocol where `ASR_PORT` is set."""
        settings, yap = cls(), YapSettings().model_dump(exclude_unset=True)
        update = {
            "yap_port": settings.yap_port if settings.yap_port is not None else yap.get("port"),
            "yap_host": settings.yap_host or yap.get("host"),
            "step_ms": yap.get("step_ms", settings.step_ms),
        }
        return settings.model_copy(update=update)

    @classmethod
    def of_yap(cls) -> Self:
        """Read the settings of a server that speaks the many-caller protocol only."""
        settings, yap = cls(), YapSettings()
        engine = settings.engine if "engine" in settings.model_fields_set else "nemo"
        update = {"host": yap.host, "port": yap.port, "step_ms": yap.step_ms, "engine": engine}
        return settings.model_copy(update={**update, "yap_port": None})


class TtsSettings(Settings):
    """The streaming synthesis server (`python -m nemotron_speech.tts_server`)."""

    model_config = SettingsConfigDict(env_prefix="NEMOTRON_TTS_")

    host: str = Field(default="127.0.0.1", description="Address the synthesis server listens on.")
    port: int = Field(default=8001, ge=0, le=65535, description="Its port; 0 takes a free one.")
    engine: str = Field(default="espeak", description="Which synthesiser: an engine's name.")
    options: Options = Field(
        default_factory=dict,
        description="Options of the engine, as a JSON object; those of one engine alone under its name: "
        '{"piper": {"model": "joe"}}.',
    )
    max_ahead_s: float = Field(
        default=20.0,
        gt=0,
        description="Audio made ahead for a caller that has not read it before its turn waits.",
    )
    voice_names: dict[str, str] = Field(
        default_factory=dict,
        description="More names for voices, as a JSON object of names and the engine's voices they stand "
        "for; OpenAI's (alloy, nova, ...) stand for voices like them unless they are set here.",
    )
    cors_origins: list[str] = Field(
        default_factory=list,
        description='Origins whose web pages may use the HTTP interface, as a JSON list; ["*"] for all.',
    )
    drain_s: float = Field(
        default=10.0, ge=0, description="How long callers may finish when the server stops."
    )


class ModelSettings(Settings):
    """The model catalogue (`nemotron models`)."""

    model_config = SettingsConfigDict(populate_by_name=True)

    cache_home: Path = Field(
        default=Path("~/.cache"),
        validation_alias="XDG_CACHE_HOME",
        description="Folder of per-user caches; models are in `nemotron-speech/models` in it.",
    )
    models_dir: Path | None = Field(
        default=None,
        validation_alias="NEMOTRON_MODELS_DIR",
        description="Folder where catalogue models are kept, instead of the one in XDG_CACHE_HOME.",
    )
    hub_endpoint: str = Field(default="https://huggingface.co", validation_alias=AliasChoices("HF_ENDPOINT"))
    hub_offline: bool = Field(default=False, validation_alias=AliasChoices("HF_HUB_OFFLINE"))
    hub_home: Path | None = Field(default=None, validation_alias=AliasChoices("HF_HOME"))
    hub_cache: Path | None = Field(default=None, validation_alias=AliasChoices("HF_HUB_CACHE"))
    uv_index: str = Field(default="", validation_alias=AliasChoices("UV_DEFAULT_INDEX", "UV_INDEX_URL"))
    pip_index: str = Field(default="", validation_alias=AliasChoices("PIP_INDEX_URL"))

    @property
    def folder(self) -> Path:
        """Return the folder of the models; it need not exist yet. Raises ConfigurationError."""
        return _expanded(self.models_dir or self.cache_home / "nemotron-speech" / "models")

    @property
    def hub_folder(self) -> Path:
        """Return the folder in which the hub's own client keeps what it has downloaded."""
        return _expanded(self.hub_cache or (self.hub_home or self.cache_home / "huggingface") / "hub")


def _expanded(folder: Path) -> Path:
    try:
        return folder.expanduser().absolute()
    except RuntimeError:
        raise ConfigurationError(
            "there is no home folder to keep models in; set NEMOTRON_MODELS_DIR to a folder"
        ) from None


_PREFIXES = {
    kind.__name__: kind.model_config.get("env_prefix", "") for kind in (AsrSettings, TtsSettings, YapSettings)
}


def read(settings: Callable[[], SettingsT]) -> SettingsT:
    """Read `.env` and the environment.

    Raises ConfigurationError that names each wrong variable and what it accepts.
    """
    env_file.load()
    try:
        return settings()
    except ValidationError as error:
        prefix = _PREFIXES.get(error.title, "")
        wrong = (
            f"{prefix}{str(e['loc'][0]).upper()}: {e['msg']}, not {e['input']!r}" for e in error.errors()
        )
        raise ConfigurationError("; ".join(wrong)) from None
    except SettingsError as error:
        raise ConfigurationError(f'{error}: lists and objects are written as JSON, ["time"]') from None
