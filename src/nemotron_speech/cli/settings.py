"""Settings of the command line, read from the environment, each with its default and its meaning."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.settings import Settings
from nemotron_speech.supervisor.profiles import HOST, Hosts


class ListeningHosts(Settings):
    """Addresses that the speech servers listen on; a flag of `nemotron up` comes before them."""

    asr: str = Field(default=HOST, validation_alias="NEMOTRON_ASR_HOST")
    tts: str = Field(default=HOST, validation_alias="NEMOTRON_TTS_HOST")

    def or_all(self, host: str | None) -> Hosts:
        """Return where each server listens: all of them on `host` where it is given."""
        return Hosts(host, host, host) if host else Hosts(self.asr, self.tts)


class ServerAddresses(Settings):
    """The bots' variables for servers that run elsewhere: `nemotron demo` starts none in their place."""

    asr: str | None = Field(default=None, validation_alias="NVIDIA_ASR_URL")
    tts: str | None = Field(default=None, validation_alias="NVIDIA_TTS_URL")
    llama_cpp: str | None = Field(default=None, validation_alias="NVIDIA_LLAMA_CPP_URL")
    openai: str | None = Field(default=None, validation_alias="NVIDIA_LLM_URL")

    def used_by(self, bot: str | None, typed: Collection[str]) -> Elsewhere:
        """Return which bot runs and which servers are elsewhere; `typed` are those a flag asks to start."""
        openai = self.openai is not None and "llm" not in typed
        bot = bot or ("vllm" if openai else "interleaved")
        variable, url = ("NVIDIA_LLM_URL", self.openai)
        if bot != "vllm":
            variable, url = ("NVIDIA_LLAMA_CPP_URL", self.llama_cpp)
        named = (
            ("asr", "NVIDIA_ASR_URL", self.asr),
            ("tts", "NVIDIA_TTS_URL", self.tts),
            ("llm", variable, url),
        )
        found = [(name, variable, url) for name, variable, url in named if url is not None]
        used = {name: url for name, _, url in found if name not in typed}
        notes = [
            f"{variable} is set, but a flag for {name} comes before it"
            if name in typed
            else f"{variable}={url} is used for {name}"
            for name, variable, url in found
        ]
        return Elsewhere(bot, used, notes)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Servers of a demo that are not started here."""

    bot: str
    """Name of the bot that can use the servers."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Server name (asr, tts, llm) to the server's address."""
    notes: Sequence[str] = ()
    """Notes for the user: which variable is used, and which a flag overrides."""


class CliSettings(Settings):
    """The supervisor and the `nemotron` command."""

    model_config = SettingsConfigDict(populate_by_name=True)

    state_home: Path = Field(
        default=Path("~/.local/state"),
        validation_alias="XDG_STATE_HOME",
        description="Folder of per-user state; ours is `nemotron-speech` in it.",
    )
    state_folder: Path | None = Field(
        default=None,
        validation_alias="NEMOTRON_STATE_DIR",
        description="Where running servers are recorded and logs are kept, instead of `nemotron-speech` "
        "in XDG_STATE_HOME.",
    )
    env_file: str = Field(
        default="",
        validation_alias="NEMOTRON_ENV_FILE",
        description="File whose lines are read as environment variables; `none` for no file. If not set, "
        "`.env` in the current folder, else in the checkout.",
    )
    display: str = Field(
        default="",
        validation_alias=AliasChoices("WAYLAND_DISPLAY", "DISPLAY"),
        description="The desktop, where there is one: without it no browser is opened (Linux).",
    )

    @property
    def state_dir(self) -> Path:
        """The folder of the state; it need not exist yet."""
        folder = self.state_folder or self.state_home / "nemotron-speech"
        try:
            return folder.expanduser()
        except RuntimeError:
            raise ConfigurationError(
                "there is no home folder to keep state in; set NEMOTRON_STATE_DIR to a folder"
            ) from None
