"""The `.env` file: each of its lines is an environment variable, unless the environment has it already.

It is looked for in the current folder, then beside the sources of a checkout. `NEMOTRON_ENV_FILE` names
another one, or `none`.
"""

from __future__ import annotations

import os
from pathlib import Path

from nemotron_speech.errors import ConfigurationError

VARIABLE = "NEMOTRON_ENV_FILE"
_CHECKOUT = Path(__file__).parents[2]


def load() -> Path | None:
    """Add the file's variables to those of the process; return the file, None if there is none.

    Raises ConfigurationError that names a line which is none, or a file that is not there.
    """
    path = _path()
    if path is None:
        return None
    from dotenv import dotenv_values

    _check_lines(path)
    for name, value in dotenv_values(path).items():
        if value is not None and not os.environ.get(name):
            os.environ[name] = value
    return path


def keep_others_from_loading() -> None:
    """Have libraries leave `.env` alone: Pipecat's runner puts the file before the environment."""
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"


def _path() -> Path | None:
    named = os.environ.get(VARIABLE, "")
    if named.lower() == "none":
        return None
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"{VARIABLE}: there is no file {named}; none reads no file")
        return Path(named)
    folders = [Path.cwd()]
    if (_CHECKOUT / "pyproject.toml").is_file():
        folders.append(_CHECKOUT)
    return next((folder / ".env" for folder in folders if (folder / ".env").is_file()), None)


def _check_lines(path: Path) -> None:
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8") as file:
            wrong = [binding.original for binding in parse_stream(file) if binding.error]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    if wrong:
        original = wrong[0].string
        line = wrong[0].line + len(original) - len(original.lstrip("\n"))
        text = original.strip()
        raise ConfigurationError(f"{path}, line {line}: {text!r} is not of the form NAME=value")
