"""Write what the settings classes say into `.env.example` and the README (`-m scripts.settings_docs`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from nemotron_speech.cli_settings import CliSettings
from nemotron_speech.settings import AsrSettings, ModelSettings, TtsSettings, YapSettings
from pipecat_bots.settings import BotSettings, TransportSettings

ROOT = Path(__file__).parent.parent
CLASSES: tuple[type[BaseSettings], ...] = (
    BotSettings,
    TransportSettings,
    AsrSettings,
    YapSettings,
    TtsSettings,
    ModelSettings,
    CliSettings,
)
BEGIN, END = "<!-- settings: begin (written by scripts/settings_docs.py) -->", "<!-- settings: end -->"


def variables(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and description of each variable a settings class reads."""
    for name, field in settings.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            continue  # what the desktop sets is not ours to document
        yield _name(settings, name, field), _default(field), field.description or ""


def env_example() -> str:
    """Return the text of `.env.example`."""
    lines = ["# Every setting and its default. Copy to .env and change what you need.", ""]
    for settings in CLASSES:
        lines += [f"# --- {_title(settings)}", ""]
        for name, default, description in variables(settings):
            lines += [f"# {description}", f"#{name}={default}", ""]
    return "\n".join(lines)


def readme_table() -> str:
    """Return the README's tables, between their marks."""
    lines = [BEGIN]
    for settings in CLASSES:
        lines += ["", f"**{_title(settings)}**", "", "| Variable | Default | Meaning |", "|---|---|---|"]
        for name, default, description in variables(settings):
            cells = (f"`{name}`", f"`{default}`" if default else "", description)
            lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join([*lines, "", END])


def readme(text: str) -> str:
    """Return the README with its tables renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + readme_table() + after


def _title(settings: type[BaseSettings]) -> str:
    return (settings.__doc__ or settings.__name__).strip().splitlines()[0].rstrip(".")


def _name(settings: type[BaseSettings], name: str, field: FieldInfo) -> str:
    alias = field.validation_alias
    prefix = settings.model_config.get("env_prefix", "")
    return (alias if isinstance(alias, str) else f"{prefix}{name}").upper()


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, PydanticUndefined):
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value).replace(str(Path.home()), "~", 1)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value)
    text = str(value)
    return json.dumps(text) if any(c.isspace() for c in text) else text


if __name__ == "__main__":
    (ROOT / ".env.example").write_text(env_example())
    readme_path = ROOT / "README.md"
    readme_path.write_text(readme(readme_path.read_text()))
