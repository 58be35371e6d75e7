"""The recognition server as one caller and as many see it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nemotron_speech.engines.base import AsrWork, Flush
from nemotron_speech.engines.scripted import AsrScript, ScriptedAsr
from nemotron_speech.errors import EngineLost
from nemotron_speech.server import AsrService
from nemotron_speech.settings import AsrSettings
from tests.serving.channel import MemoryChannel, talking, until
from tests.serving.engines import PATIENCE_S, EchoAsr


def pcm(*samples: int) -> bytes:
    return np.array(samples, "<i2").tobytes()


def text(*samples: int) -> str:
    return " ".join(map(str, samples))


@pytest.fixture
async def engine() -> EchoAsr:
    return EchoAsr()


@pytest.fixture
async def service(engine: EchoAsr) -> AsyncIterator[AsrService]:
    service = AsrService(engine, AsrSettings(engine="none", max_backlog_s=0.1))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        yield service


async def finals(caller: MemoryChannel, count: int) -> list[dict[str, Any]]:
    """Return the next `count` finals; what comes between them is interim."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        message = await caller.read()
        assert message["type"] == "transcript"
        if message["is_final"]:
            found.append(message)
    return found


async def test_a_caller_hears_ready_and_nothing_else_until_it_speaks(service: AsrService) -> None:
    async with talking(service) as caller:
        assert await caller.read() == {"type": "ready"}
        await asyncio.sleep(0.02)
        assert caller.to_caller.empty()


async def test_a_final_covers_every_byte_before_its_reset_and_none_after(service: AsrService) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        spoken = {first: range(first, first + 333) for first in (0, 1000, 2000)}
        for first, samples in spoken.items():
            caller.say(pcm(*samples) + b"\x07")  # half a sample is no audio
            caller.say(type="reset", id=str(first))
        answers = [(final["id"], final["text"]) for final in await finals(caller, 3)]
        assert answers == [(str(first), text(*samples)) for first, samples in spoken.items()]


@pytest.mark.parametrize("cut", [1, 2, 3, 319, 320, 321, 640])
async def test_the_cut_of_the_messages_changes_nothing(service: AsrService, cut: int) -> None:
    samples = range(1, 500)
    data = pcm(*samples)
    async with talking(service) as caller:
        await caller.read_until("ready")
        for start in range(0, len(data), cut):
            caller.say(data[start : start + cut])
        caller.say(type="reset")
        (final,) = await finals(caller, 1)
        assert final["text"] == text(*samples)


async def test_every_reset_gets_exactly_one_final_in_order(service: AsrService) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        sent = []
        for number in range(50):
            samples = range(number * 100, number * 100 + number % 3 * 50)
            caller.say(pcm(*samples))
            caller.say(type="reset", id=str(number))
            sent.append((str(number), text(*samples)))
        assert [(f["id"], f["text"]) for f in await finals(caller, 50)] == sent
        await asyncio.sleep(0.02)
        assert caller.to_caller.empty()


async def test_a_soft_reset_reports_and_keeps_the_utterance(service: AsrService) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        caller.say(pcm(1, 2))
        caller.say(type="reset", finalize=False)
        caller.say(pcm(3))
        caller.say(type="reset")
        caller.say(type="reset")
        soft, hard, empty = await finals(caller, 3)
        assert (soft["text"], soft["finalize"]) == ("1 2", False)
        assert (hard["text"], hard["finalize"]) == ("1 2 3", True)
        assert empty["text"] == ""


async def test_nothing_of_an_utterance_appears_after_its_final(service: AsrService) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        for first in range(0, 3000, 1000):
            for start in range(first, first + 800, 160):
                caller.say(pcm(*range(start, start + 160)))
            caller.say(type="reset")
        over = 0
        while over < 3:
            message = await caller.read()
            heard = {int(sample) // 1000 for sample in message["text"].split()}
            assert heard <= {over}
            over += message["is_final"]


async def test_callers_at_once_hear_only_themselves(service: AsrService, engine: EchoAsr) -> None:
    async with talking(service) as one, talking(service) as two:
        for caller, first in ((one, 0), (two, 10_000)):
            for start in range(first, first + 1600, 50):
                caller.say(pcm(*range(start, start + 50)))
            caller.say(type="reset")
        for caller, first in ((one, 0), (two, 10_000)):
            await caller.read_until("ready")
            (final,) = await finals(caller, 1)
            assert final["text"] == text(*range(first, first + 1600))
    await until(lambda: engine.open_streams == 0)


async def test_every_sample_is_given_to_the_engine_exactly_once_in_bounded_steps(
    service: AsrService, engine: EchoAsr
) -> None:
    """Recognition costs the same per second of audio, however long the utterance is."""
    async with talking(service) as caller:
        await caller.read_until("ready")
        data = pcm(*itertools.islice(itertools.cycle(range(30000)), 16000))
        for start in range(0, len(data), 640):
            caller.say(data[start : start + 640])
        caller.say(type="reset")
        await finals(caller, 1)
    work: list[AsrWork] = [item for batch in engine.batches for item in batch]
    assert b"".join(item.pcm for item in work) == data
    assert max(len(item.pcm) for item in work) <= 160 * 2
    assert all(len(item.pcm) == 160 * 2 for item in work if item.flush is Flush.NONE)


async def test_a_sender_faster_than_the_recogniser_is_slowed_down(
    service: AsrService, engine: EchoAsr
) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        engine.gate.shut()
        for _ in range(30):
            caller.say(bytes(640))
        await asyncio.sleep(0.05)
        assert caller.messages_taken * 20 <= 100 + 3 * 20, "more than 0.1 s waits"
        engine.gate.open()
        caller.say(type="reset")
        (final,) = await finals(caller, 1)
        assert len(final["text"].split()) == 30 * 320


async def test_a_flood_of_resets_is_slowed_down_too(service: AsrService, engine: EchoAsr) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        engine.gate.shut()
        for _ in range(2000):
            caller.say(type="reset")
        await asyncio.sleep(0.05)
        assert caller.messages_taken < 1000
        engine.gate.open()
        assert len(await finals(caller, 2000)) == 2000


async def test_a_caller_that_never_reads_delays_nobody(service: AsrService) -> None:
    async with talking(service, window=1) as deaf, talking(service) as caller:
        for number in range(200):
            deaf.say(pcm(number) * 160)
            deaf.say(type="reset")
        await caller.read_until("ready")
        for number in range(20):
            caller.say(pcm(number))
            caller.say(type="reset")
            (final,) = await finals(caller, 1)
            assert final["text"] == str(number)


async def test_a_slow_reader_gets_the_latest_interim_and_not_every_one(
    service: AsrService, engine: EchoAsr
) -> None:
    async with talking(service, window=1) as slow:
        for number in range(50):
            slow.say(pcm(number) * 160)
        await until(lambda: len(engine.batches) == 50)
        slow.say(type="reset")
        await slow.read_until("ready")
        await until(lambda: len(engine.batches) == 51)
        messages = [await slow.read()]
        while not messages[-1]["is_final"]:
            messages.append(await slow.read())
        assert len(messages) <= 5
        assert set(messages[-1]["text"].split()) == set(map(str, range(50)))


async def test_a_failing_chunk_ends_its_caller_and_no_other(service: AsrService, engine: EchoAsr) -> None:
    engine.fail_on = 666
    async with talking(service) as unlucky, talking(service) as caller:
        unlucky.say(pcm(666) * 160)
        error = (await unlucky.read_until("error"))[-1]
        assert "too much for me" in error["message"]
        assert (await unlucky.closed)[0] == 1011
        steps = len(engine.batches)
        await asyncio.sleep(0.05)
        assert len(engine.batches) == steps, "the failed chunk is tried again"
        caller.say(pcm(1))
        caller.say(type="reset")
        await caller.read_until("ready")
        assert (await finals(caller, 1))[0]["text"] == "1"
    async with talking(service) as again:
        await again.read_until("ready")


async def test_who_asks_for_a_final_goes_with_the_next_step_ahead_of_a_queue_of_others() -> None:
    """Nor does it wait for a batch to fill: the step after it takes whoever is ready."""
    engine = EchoAsr(capacity=8, max_batch=2)
    service = AsrService(engine, AsrSettings(engine="none"))
    async with service.runner.running(), AsyncExitStack() as calls:
        await until(lambda: service.health()[0] == 200)
        callers = [await calls.enter_async_context(talking(service)) for _ in range(6)]
        for caller in callers:
            await caller.read_until("ready")
        engine.gate.shut()
        callers[0].say(pcm(9) * 160)
        await asyncio.to_thread(engine.gate.waiting.wait, PATIENCE_S)
        for caller in callers[:5]:
            caller.say(pcm(9) * 160)
        await until(lambda: all(caller.messages_taken for caller in callers[1:5]))
        callers[5].say(pcm(7))
        callers[5].say(type="reset")
        await until(lambda: callers[5].messages_taken == 2)
        engine.gate.open()
        assert (await finals(callers[5], 1))[0]["text"] == "7"
        await until(lambda: sum(map(len, engine.batches)) == 7)
    first, second, *_ = engine.batches
    assert len(first) == 1
    assert len(second) == 2
    assert second[0].flush is Flush.HARD


async def test_a_final_does_not_wait_for_the_time_between_steps(engine: EchoAsr) -> None:
    service = AsrService(engine, AsrSettings(engine="none", step_ms=60_000))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            await caller.read_until("ready")
            caller.say(pcm(1) * 160)
            await until(lambda: len(engine.batches) == 1)
            caller.say(pcm(2))
            caller.say(type="reset")
            assert (await finals(caller, 1))[0]["text"].split()[-1] == "2"


async def test_the_metrics_say_how_many_callers_the_engine_takes_in_a_step(
    service: AsrService, engine: EchoAsr
) -> None:
    name = "nemotron_asr_step_limit_streams"
    assert service.metrics.registry.get_sample_value(name) == 8
    engine.info = replace(engine.info, max_batch=2)
    assert service.metrics.registry.get_sample_value(name) == 2


async def test_a_step_that_raises_costs_its_batch_and_the_next_caller_is_served(
    service: AsrService, engine: EchoAsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(service) as unlucky:
        await unlucky.read_until("ready")
        with monkeypatch.context() as patch:
            patch.setattr(service.runner.batcher, "_step", lambda work: 1 // 0)
            unlucky.say(type="reset")
            assert "division" in (await unlucky.read_until("error"))[-1]["message"]
    async with talking(service) as caller:
        await caller.read_until("ready")
        caller.say(type="reset")
        await finals(caller, 1)


async def test_a_lost_model_says_so_to_those_here_and_takes_nobody_new(
    service: AsrService, engine: EchoAsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The health address then tells who watches this server to start another."""
    async with talking(service) as unlucky, talking(service) as bystander:
        monkeypatch.setattr(engine, "_advance", lambda item: EngineLost("the model is lost: no more"))
        for caller in (unlucky, bystander):
            caller.say(type="reset")
            assert "the model is lost" in (await caller.read_until("error"))[-1]["message"]
            assert (await caller.closed)[0] == 1011
    status, body = service.health()
    assert (status, body["status"], body["message"]) == (503, "failed", "the model is lost: no more")
    async with talking(service) as late:
        assert "cannot serve: the model is lost" in (await late.read())["message"]
        assert (await late.closed)[0] == 1013


async def test_a_caller_that_hangs_up_gives_its_place_and_its_stream_back(
    service: AsrService, engine: EchoAsr
) -> None:
    async with talking(service) as caller:
        await caller.read_until("ready")
        caller.say(bytes(3200))
    assert service.runner.active == 0
    await until(lambda: engine.open_streams == 0)


async def test_callers_beyond_the_capacity_are_refused_at_once(engine: EchoAsr) -> None:
    engine = EchoAsr(capacity=1)
    service = AsrService(engine, AsrSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as first:
            await first.read_until("ready")
            async with talking(service) as second:
                assert "1 places are taken" in (await second.read())["message"]
                assert (await second.closed)[0] == 1013
        async with talking(service) as third:
            await third.read_until("ready")


async def test_the_end_of_an_utterance_reaches_who_asked_and_no_other() -> None:
    """After its last words and before its final; a reset is still the client's to ask for."""
    script = AsrScript(transcripts=("hello",), end_ms=200, chunk_ms=80)
    service = AsrService(ScriptedAsr(script), AsrSettings(engine="none"))
    audio = np.full(8000, 9000, "<i2").tobytes() + bytes(2 * 8000)

    async def heard(query: dict[str, str]) -> list[dict[str, Any]]:
        async with talking(service, query=query) as caller:
            caller.say(audio)
            caller.say(type="reset")
            messages = [await caller.read()]
            while not messages[-1].get("is_final"):
                messages.append(await caller.read())
            return messages

    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        asked, plain = await heard({"events": "eou"}), await heard({})
    assert asked[0] == {"type": "ready", "events": ["eou"]}
    (event,) = (message for message in asked if message["type"] == "eou")
    assert 700 <= event["end_ms"] <= 800
    assert asked.index(event) > next(i for i, m in enumerate(asked) if m.get("text") == "hello")
    assert asked[-1]["text"] == plain[-1]["text"] == "hello"
    assert plain[0] == {"type": "ready"}
    assert {message["type"] for message in plain} == {"ready", "transcript"}


async def test_an_unknown_event_is_refused_with_what_is_allowed(service: AsrService) -> None:
    async with talking(service, query={"events": "cough"}) as caller:
        assert "allowed: eou" in (await caller.read())["message"]
        assert (await caller.closed)[0] == 1008


async def test_an_unknown_language_is_refused_with_what_is_allowed(service: AsrService) -> None:
    async with talking(service, query={"language": "tlh"}) as caller:
        assert "'tlh'; allowed: en, de" in (await caller.read())["message"]
        assert (await caller.closed)[0] == 1008
    async with talking(service, query={"language": "de"}) as caller:
        assert await caller.read() == {"type": "ready"}
