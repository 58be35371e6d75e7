"""A busy machine leaves no gaps in what the bot says."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from benchmarks.caller import RATE, call
from benchmarks.stack import Stack
from nemotron_speech.audio import Clip, Samples

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BUSY_S = 60.0
"""Seconds after which the load ends by itself."""
SHARE = 0.6
"""Share of each core that the load takes."""
WINDOW = RATE // 100
LONGEST = 6
"""Windows of a gap; what is longer is a pause between two segments."""


def _burn(until: float) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        while time.monotonic() < began + 0.01 * SHARE:
            pass
        time.sleep(0.01 * (1 - SHARE))


@contextmanager
def busy() -> Iterator[None]:
    """Load each core."""
    until = time.monotonic() + BUSY_S
    context = multiprocessing.get_context("spawn")
    burning = [context.Process(target=_burn, args=(until,)) for _ in range(os.cpu_count() or 1)]
    for process in burning:
        process.start()
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.join()


def gaps(samples: Samples) -> list[int]:
    """Return the length of each short silence between sounds, in windows of 10 ms."""
    windows = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float64)
    loud = np.flatnonzero(np.sqrt((windows**2).mean(axis=1)) > 100)
    return [int(n) - 1 for n in np.diff(loud) if 1 < n <= LONGEST + 1]


async def test_a_busy_machine_leaves_no_gap_in_a_long_answer(
    scripted_stack: Stack, speak: Callable[[str], Clip]
) -> None:
    async with call(scripted_stack.url) as caller:
        await caller.until("bot-stopped-speaking")
        await caller.say(speak("tell me the first thing"))
        await caller.until("bot-stopped-speaking", since=len(caller.events))
        quiet = gaps(_heard(caller.heard))
        since, began = len(caller.events), asyncio.get_running_loop().time()
        with busy():
            await caller.say(speak("and the second thing"))
            await caller.until("bot-stopped-speaking", since=since, timeout_s=60)
        found = gaps(_heard([each for each in caller.heard if each[0] >= began]))
    assert len(found) - len(quiet) <= 1, f"{found} in place of {quiet}"


def _heard(pieces: list[tuple[float, Samples]]) -> Samples:
    return np.concatenate([samples for _, samples in pieces])
