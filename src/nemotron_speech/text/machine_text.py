"""Text for machines within text for people: tool calls and thoughts that a language model left in it."""

from __future__ import annotations

import re

from nemotron_speech.text.rewrite import Rewrite

_CALL = r"(?:\w+[:_])?(?:tool_?calls?|function_?calls?|tool_?code|functions?=[\w.-]+)"
_THOUGHT = r"(?:\w+[:_])?(?:think(?:ing)?|thoughts?|reasoning|reflection)"
_REGION = re.compile(
    rf"<(?P<call>{_CALL})>.*?(?:</[\w:]+>\s*(?=\Z|[^<\s])|\Z)"
    rf"|<(?P<thought>{_THOUGHT})>.*?</(?P=thought)>"
    r"|\[TOOL_CALLS\].*",
    re.IGNORECASE | re.DOTALL,
)
"""Regions between tags. A call may be cut off by the text's end."""
_BARE_CALL = re.compile(
    r"\s*\[?\s*\{\s*\"(?:name|tool|tool_name|function|type)\"\s*:.*\"(?:arguments|parameters)\"\s*:.*\}\s*\]?\s*",
    re.DOTALL,
)
"""Text that is nothing but a call, as JSON."""


def drop_machine_text(rewrite: Rewrite) -> None:
    """Leave out what is for machines; what looks like it and may be meant for people stays."""
    if _BARE_CALL.fullmatch(rewrite.text):
        rewrite.substitute(_BARE_CALL, lambda match: "")
    elif "<" in rewrite.text or "[TOOL_CALLS]" in rewrite.text:
        rewrite.substitute(_REGION, lambda match: " ")
