"""OpenAI's Python library against a language model: openai_chat.py http://HOST:PORT/v1

Prints a JSON object: what each way to ask came to, the name of the error where it was refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import openai

HELLO = [{"role": "user", "content": "hello"}]
TIME = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
NAMED = {"type": "function", "function": {"name": "get_time"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
PARTS = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
]


def main(base_url: str) -> None:
    client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)

    def create(**asked: Any) -> Any:
        return client.chat.completions.create(**{"model": "any", "messages": HELLO, **asked})

    def words(**asked: Any) -> str:
        choice = create(**asked).choices[0]
        return "words" if choice.message.content and not choice.message.tool_calls else repr(choice)

    def streamed() -> str:
        chunks = list(create(stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        return "words and usage" if text and chunks[-1].usage.total_tokens else repr(chunks[-1])

    def in_json() -> str:
        return type(
            json.loads(create(response_format={"type": "json_object"}).choices[0].message.content)
        ).__name__

    checks: dict[str, Callable[[], object]] = {
        "plain": words,
        "streamed": streamed,
        "parts": lambda: words(messages=PARTS),
        "limit": lambda: create(max_completion_tokens=2).choices[0].finish_reason,
        "stop": lambda: create(stop=["Hello"]).choices[0].message.content,
        "tools offered": lambda: words(tools=[TIME]),
        "tools, auto": lambda: words(tools=[TIME], tool_choice="auto"),
        "tools, required": lambda: words(tools=[TIME], tool_choice="required"),
        "tools, named": lambda: words(tools=[TIME], tool_choice=NAMED),
        "json object": in_json,
        "json schema": lambda: words(response_format=SCHEMA),
        "no messages": lambda: words(messages=[]),
        "two answers": lambda: words(n=2),
        "logprobs": lambda: words(logprobs=True),
        "model": lambda: client.models.retrieve(next(iter(client.models.list())).id).object,
        "no such model": lambda: client.models.retrieve("gpt-7").id,
        "responses": lambda: client.responses.create(model="any", input="hello").id,
    }
    print(json.dumps({name: attempt(check) for name, check in checks.items()}))


def attempt(check: Callable[[], object]) -> object:
    try:
        return check()
    except openai.APIStatusError as error:
        return f"{type(error).__name__}{'' if isinstance(error.body, dict) else ' without JSON'}"


if __name__ == "__main__":
    main(*sys.argv[1:])
