"""Counters of the responder, under the names of llama.cpp's metrics."""

from __future__ import annotations

from dataclasses import dataclass

from nemotron_speech.responder.generation import Generation
from nemotron_speech.responder.slots import SlotPool


@dataclass(slots=True)
class Totals:
    """Sums over all generations."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompt_s: float = 0.0
    predicted_tokens: int = 0
    predicted_s: float = 0.0

    def add(self, generation: Generation) -> None:
        self.prompt_tokens += generation.evaluated
        self.cached_tokens += generation.cached
        self.prompt_s += generation.prompt_s
        self.predicted_tokens += generation.predicted
        self.predicted_s += generation.predicted_s

    def exposition(self, pool: SlotPool) -> str:
        """Render in Prometheus's text format."""
        rows = (
            ("prompt_tokens_total", "counter", "Prompt tokens evaluated", self.prompt_tokens),
            ("prompt_tokens_cached_total", "counter", "Prompt tokens from the cache", self.cached_tokens),
            ("prompt_seconds_total", "counter", "Seconds spent on prompts", round(self.prompt_s, 6)),
            ("tokens_predicted_total", "counter", "Tokens generated", self.predicted_tokens),
            ("tokens_predicted_seconds_total", "counter", "Seconds generating", round(self.predicted_s, 6)),
            ("requests_processing", "gauge", "Requests being answered", pool.busy),
            ("requests_deferred", "gauge", "Requests waiting for a slot", pool.waiting),
        )
        lines = [
            f"# HELP llamacpp:{name} {text}.\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value}\n"
            for name, kind, text, value in rows
        ]
        return "".join(lines)
