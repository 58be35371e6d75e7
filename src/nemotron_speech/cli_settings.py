"""What the command line reads from the environment, each with its default and its meaning."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import SettingsConfigDict

from nemotron_speech.settings import Settings


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
    display: str = Field(
        default="",
        validation_alias=AliasChoices("WAYLAND_DISPLAY", "DISPLAY"),
        description="The desktop, where there is one: without it no browser is opened (Linux).",
    )

    @property
    def state_dir(self) -> Path:
        """The folder of the state; it need not exist yet."""
        return (self.state_folder or self.state_home / "nemotron-speech").expanduser()
