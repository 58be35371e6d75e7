"""Log lines that say which caller they are about.

A caller may name its session in the address it connects to (`?session=ID`): the bots do, so that one id leads
through the logs of bot, recogniser and synthesiser. Others are numbered.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

SESSION = "session"
"""Query parameter that carries the id of a session."""
SHOWN_CHARACTERS = 8
_UNFIT = re.compile(r"[^\w.-]")
_numbers = count(1)
_LINE = (
    "<green>{{time:YYYY-MM-DD HH:mm:ss.SSS}}</green> | <level>{{level: <8}}</level> | "
    "<cyan>{{name}}</cyan>:<cyan>{{function}}</cyan>:<cyan>{{line}}</cyan> - {who}"
    "<level>{{message}}</level>\n{{exception}}"
)


def caller_of(query: Mapping[str, str]) -> str:
    """Return the id of a new caller: the session it names, else a number."""
    return short(query.get(SESSION, "")) or f"caller-{next(_numbers)}"


def short(session_id: str) -> str:
    """Return as much of a session's id as the log shows."""
    return _UNFIT.sub("", session_id)[:SHOWN_CHARACTERS]


def about(caller: str) -> AbstractContextManager[None]:
    """Name the caller in all that this task, and those it starts, log while the context lasts."""
    return logger.contextualize(caller=caller)


def line_format(record: Record) -> str:
    """Return loguru's format of one line: its own, with the caller before the message."""
    return _LINE.format(who="<magenta>[{extra[caller]}]</magenta> " if "caller" in record["extra"] else "")


def set_up(level: str | None = None, filter: Callable[[Record], bool] | None = None) -> None:
    """Log to standard error in this format.

    Args:
        level: Least severe messages that are logged; loguru's own setting if None.
        filter: Whether a message is logged.
    """
    logger.remove()
    options = {} if level is None else {"level": level}
    logger.add(sys.stderr, format=line_format, filter=filter, **options)  # type: ignore[arg-type]
