"""Metrics of a speech server, in Prometheus terms."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12)
_SEATS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """The figures of one server, in a registry of its own.

    Args:
        kind: `asr` or `tts`; the prefix of every name.
        capacity: Streams the server holds at once.
    """

    def __init__(self, kind: str, capacity: int) -> None:
        self.registry = CollectorRegistry()
        prefix = f"nemotron_{kind}"
        self.active = Gauge(f"{prefix}_active_streams", "Streams open now.", registry=self.registry)
        limit = Gauge(f"{prefix}_capacity_streams", "Streams held at once.", registry=self.registry)
        limit.set(capacity)
        self.max_batch = Gauge(
            f"{prefix}_step_limit_streams",
            "Streams the engine takes in one step; less than configured after it ran out of memory.",
            registry=self.registry,
        )
        self.refused = Counter(
            f"{prefix}_refused", "Callers refused because no slot was free.", registry=self.registry
        )
        self.failures = Counter(
            f"{prefix}_engine_failures", "Work items an engine failed on.", registry=self.registry
        )
        self.cancelled = Counter(f"{prefix}_cancelled", "Streams cancelled.", registry=self.registry)
        self.audio = Counter(f"{prefix}_audio_seconds", "Seconds of audio in or out.", registry=self.registry)
        self.step_seconds = Histogram(
            f"{prefix}_step_seconds", "Time of one engine step.", buckets=_SECONDS, registry=self.registry
        )
        self.step_seats = Histogram(
            f"{prefix}_step_streams", "Streams in one engine step.", buckets=_SEATS, registry=self.registry
        )
        self.latency = Histogram(
            f"{prefix}_{'final' if kind == 'asr' else 'first_audio'}_seconds",
            "From the request (reset, text) to its answer (final, first audio).",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def observe_step(self, seats: int, seconds: float) -> None:
        self.step_seats.observe(seats)
        self.step_seconds.observe(seconds)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer `GET /metrics`."""
        body = generate_latest(self.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
