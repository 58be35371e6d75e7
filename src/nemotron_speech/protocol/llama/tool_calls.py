"""Tool calls of a streamed answer, put together from their pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nemotron_speech.protocol.llama.events import ToolCallDelta
from nemotron_speech.protocol.llama.wire import ToolCall


@dataclass(slots=True)
class _BegunCall:
    index: int | None
    id: str
    name: str = ""
    arguments: str = ""

    @property
    def is_complete(self) -> bool:
        """True if the arguments are a whole JSON object."""
        return self.arguments.rstrip().endswith("}") and read_arguments(self.arguments) is not None


class CallAssembler:
    """Tells which call each piece is of: the one with its index, else with its id, else the newest.

    A piece with a name begins another call where the found one has another id, or is complete. Servers also
    number all calls 0, give all the same id or each piece a new one, leave out either, and send a call again
    as a whole behind its pieces.
    """

    def __init__(self) -> None:
        self._calls: list[_BegunCall] = []

    @property
    def is_complete(self) -> bool:
        """True if the arguments of every call are whole, or left out."""
        return all(call.is_complete or not call.arguments for call in self._calls)

    def delta(self, piece: ToolCall) -> ToolCallDelta | None:
        """Return the piece with the number of its call, from 0 in order; None for one that repeats a call."""
        found = self._found(piece)
        if found is not None and _repeats(found, piece):
            return None
        if found is None or _begins_another(found, piece):
            found = _BegunCall(piece.index, piece.id or "")
            self._calls.append(found)
            new_id = found.id
        else:
            new_id = "" if found.id else piece.id or ""
            found.id = found.id or new_id
        name = _new_name(found, piece)
        arguments = piece.function.arguments or ""
        found.name += name
        found.arguments += arguments
        return ToolCallDelta(self._number(found), new_id, name, arguments)

    def _number(self, call: _BegunCall) -> int:
        return next(n for n, one in enumerate(self._calls) if one is call)

    def _found(self, piece: ToolCall) -> _BegunCall | None:
        """Return the call that a piece goes on with, as far as index, id and order tell."""
        backwards = self._calls[::-1]
        if piece.index is not None:
            if found := next((call for call in backwards if call.index == piece.index), None):
                return found
            if piece.function.name:
                return None
        if piece.id and (found := next((call for call in backwards if call.id == piece.id), None)):
            return found
        is_unknown = piece.index is not None and bool(piece.id)
        return None if is_unknown or not backwards else backwards[0]


def _repeats(found: _BegunCall, piece: ToolCall) -> bool:
    """Return whether a piece is a whole call once more."""
    is_same = piece.id == found.id if piece.id else piece.index is not None
    whole = piece.function.name == found.name and piece.function.arguments == found.arguments
    return is_same and whole and found.is_complete


def _begins_another(found: _BegunCall, piece: ToolCall) -> bool:
    name = piece.function.name
    if not name:
        return False
    if piece.id and found.id and piece.id != found.id:
        return found.is_complete or not found.arguments or name != found.name
    if found.is_complete:
        return True
    return bool(found.name) and name != found.name and not (piece.id and piece.id == found.id)


def _new_name(found: _BegunCall, piece: ToolCall) -> str:
    """Return what a piece adds to the name: a name that is repeated adds nothing."""
    name = piece.function.name or ""
    return "" if name == found.name or found.arguments else name


def read_arguments(text: str) -> dict[str, object] | None:
    """Read the arguments of a call as a model wrote them; None for what is no JSON object.

    Nothing and `null` are no arguments. An object may be written as a JSON string, or stand behind an empty
    one, which some servers begin every call with.
    """
    text = text.strip()
    if text.startswith("{}") and text != "{}":
        text = text[2:]
    try:
        arguments = json.loads(text or "{}")
        if isinstance(arguments, str):
            arguments = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else None
