"""Turn a grammar of what people say into the sentences a language model is estimated from.

Reads the part of JSGF that a list of phrasings needs: rules, alternatives with weights, groups, optional
parts and references to other rules (no repetition, no recursion, no tags).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nemotron_speech.errors import ConfigurationError

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_TOKEN = re.compile(r"<[\w.]+>|/\d+(?:\.\d+)?/|[()\[\]|]|[a-z][a-z'.]*")
_RULE = re.compile(r"(public\s+)?<(\w+)>\s*=\s*([^;]*);")


@dataclass(frozen=True, slots=True)
class _Reference:
    rule: str


@dataclass(frozen=True, slots=True)
class _Choice:
    weights: tuple[float, ...]
    options: tuple[tuple[_Item, ...], ...]


_Item = str | _Reference | _Choice


@dataclass(frozen=True, slots=True)
class Grammar:
    """Rules by name; the public ones are the intents."""

    rules: Mapping[str, _Choice]
    public: tuple[str, ...]

    def sentences(self, per_rule: int, seed: int = 0) -> Iterator[list[str]]:
        """Draw `per_rule` sentences (lists of words) from each public rule, the same ones for a seed."""
        source = random.Random(seed)
        for name in self.public:
            for _ in range(per_rule):
                yield list(self._draw(self.rules[name], source))

    def words(self) -> set[str]:
        """Return every word of the grammar."""
        return {word for rule in self.rules.values() for word in _words(rule)}

    def _draw(self, choice: _Choice, source: random.Random) -> Iterator[str]:
        for item in source.choices(choice.options, choice.weights)[0]:
            match item:
                case str():
                    yield item
                case _Reference(rule):
                    yield from self._draw(self.rules[rule], source)
                case _Choice():
                    yield from self._draw(item, source)


def parse_grammar(text: str) -> Grammar:
    """Parse JSGF text. Raises ConfigurationError naming the rule that is wrong."""
    rules: dict[str, _Choice] = {}
    public: list[str] = []
    for is_public, name, body in _RULE.findall(_COMMENT.sub(" ", text)):
        rules[name] = _Parser(name, body).parse()
        if is_public:
            public.append(name)
    for name, rule in rules.items():
        for missing in _references(rule) - rules.keys():
            raise ConfigurationError(f"grammar rule <{name}> refers to <{missing}>, which is not defined")
    return Grammar(rules, tuple(public))


class _Parser:
    """Recursive descent over one rule's body."""

    def __init__(self, name: str, body: str) -> None:
        self._name = name
        self._tokens: list[str] = _TOKEN.findall(body)
        if "".join(self._tokens) != "".join(body.split()):
            raise ConfigurationError(f"grammar rule <{name}> has text that is not understood")
        self._next = 0

    def parse(self) -> _Choice:
        choice = self._alternatives()
        if self._next != len(self._tokens):
            raise ConfigurationError(f"grammar rule <{self._name}> has an unbalanced '{self._peek()}'")
        return choice

    def _alternatives(self) -> _Choice:
        weights, options = [], []
        while True:
            weight, items = self._sequence()
            weights.append(weight)
            options.append(items)
            if self._peek() != "|":
                return _Choice(tuple(weights), tuple(options))
            self._next += 1

    def _sequence(self) -> tuple[float, tuple[_Item, ...]]:
        weight = 1.0
        if (token := self._peek()) and token[0] == "/":
            weight = float(token.strip("/"))
            self._next += 1
        items: list[_Item] = []
        while (token := self._peek()) and token not in ("|", ")", "]"):
            self._next += 1
            items.append(self._item(token))
        if not items:
            raise ConfigurationError(f"grammar rule <{self._name}> has an empty alternative")
        return weight, tuple(items)

    def _item(self, token: str) -> _Item:
        if token == "(":
            return self._group(")")
        if token == "[":
            inner = self._group("]")
            return _Choice((*inner.weights, sum(inner.weights)), (*inner.options, ()))
        return _Reference(token[1:-1]) if token[0] == "<" else token

    def _group(self, closing: str) -> _Choice:
        inner = self._alternatives()
        if self._peek() != closing:
            raise ConfigurationError(f"grammar rule <{self._name}> lacks a '{closing}'")
        self._next += 1
        return inner

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""


def _items(choice: _Choice) -> Iterator[_Item]:
    for option in choice.options:
        for item in option:
            yield item
            if isinstance(item, _Choice):
                yield from _items(item)


def _references(choice: _Choice) -> set[str]:
    return {item.rule for item in _items(choice) if isinstance(item, _Reference)}


def _words(choice: _Choice) -> Sequence[str]:
    return [item for item in _items(choice) if isinstance(item, str)]
