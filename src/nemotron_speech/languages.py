"""Language tags, in any spelling: en-US, en_us and EN."""

from __future__ import annotations

from collections.abc import Sequence

from nemotron_speech.errors import BadRequest


def matched(tag: str, offered: Sequence[str]) -> str:
    """Return the offered language that a tag names: the same one, a wider one, or one of its regions.

    en-US names `en`, zh-Hant-TW names `zh-hant` before `zh`, and pt names `pt-BR` where no other Portuguese
    is offered. Raises BadRequest that lists what is offered.
    """
    plain = {_plain(one): one for one in reversed(offered)}
    wanted = _plain(tag)
    while wanted:
        if wanted in plain:
            return plain[wanted]
        wanted = wanted.rpartition("-")[0]
    primary = _plain(tag).partition("-")[0]
    regions = [one for one in offered if primary and _plain(one).partition("-")[0] == primary]
    if not regions:
        raise BadRequest(f"unknown language {tag[:40]!r}; allowed: {', '.join(offered)}")
    return regions[0]


def _plain(tag: str) -> str:
    return tag.strip().replace("_", "-").lower()
