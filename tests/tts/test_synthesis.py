"""The synthesis server as one caller and as many see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nemotron_speech.engines.scripted import ScriptedTts
from nemotron_speech.settings import TtsSettings
from nemotron_speech.tts_server import TtsService
from tests.serving.channel import MemoryChannel, talking, until
from tests.serving.engines import LetterTts

MAX_AHEAD_S = 3.0


@pytest.fixture
async def engine() -> LetterTts:
    return LetterTts()


@pytest.fixture
async def service(engine: LetterTts) -> AsyncIterator[TtsService]:
    service = TtsService(engine, TtsSettings(engine="none", max_ahead_s=MAX_AHEAD_S))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        yield service


def kinds(messages: list[Any]) -> list[str]:
    """The types of messages; a run of audio counts once."""
    found: list[str] = []
    for message in messages:
        kind = "audio" if isinstance(message, bytes) else message["type"]
        if kind != "audio" or found[-1:] != ["audio"]:
            found.append(kind)
    return found


def audio(messages: list[Any]) -> bytes:
    return b"".join(message for message in messages if isinstance(message, bytes))


async def all_of(caller: MemoryChannel) -> bytes:
    return audio(await caller.read_until("done"))


async def test_a_plain_client_is_served_message_by_message(service: TtsService, engine: LetterTts) -> None:
    async with talking(service) as caller:
        caller.say(type="init", voice="aria", language="en")
        caller.say(type="text", text="abc", mode="stream")
        caller.say(type="text", text="de", mode="batch")
        caller.say(type="close")
        messages = await caller.read_until("done")
    assert kinds(messages) == [
        "stream_created",
        "audio",
        "segment_complete",
        "audio",
        "segment_complete",
        "done",
    ]
    assert audio(messages) == engine.audio_of("abcde")
    assert messages[0]["sample_rate"] == 16000
    assert messages[-1]["total_audio_ms"] == pytest.approx(5 * 100 / 16, abs=0.1)
    assert messages[-1]["segments_generated"] == 2
    assert not any("utterance" in message for message in messages if isinstance(message, dict))


async def test_a_client_that_awaits_the_answer_to_init_is_served_cancelled_and_served_again(
    service: TtsService, engine: LetterTts
) -> None:
    async with talking(service) as caller:
        for voice in ("aria", "john"):
            caller.say(type="init", voice=voice, language="en")
            await caller.read_until("stream_created")
            caller.say(type="text", text="abc", mode="stream")
            messages = await caller.read_until("segment_complete")
            assert kinds(messages) == ["audio", "segment_complete"]
            assert audio(messages) == engine.audio_of("abc")
            caller.say(type="text", text="fghij", mode="stream")
            caller.say(type="cancel")
            caller.say(type="text", text="de", mode="batch")
            caller.say(type="close")
            messages = await caller.read_until("done")
            begun = max(i for i, m in enumerate(messages) if kinds([m]) == ["stream_created"])
            assert kinds(messages[begun:]) == ["stream_created", "audio", "segment_complete", "done"]
            assert audio(messages[begun:]) == engine.audio_of("de")


async def test_an_utterance_is_echoed(service: TtsService) -> None:
    async with talking(service) as caller:
        caller.say(type="text", text="abc", utterance="u7")
        caller.say(type="close", utterance="u7")
        messages = await caller.read_until("done")
        assert {m["utterance"] for m in messages if isinstance(m, dict)} == {"u7"}


async def test_the_announcement_comes_before_the_audio_of_its_stream(
    service: TtsService, engine: LetterTts
) -> None:
    async with talking(service) as caller:
        for utterance in ("a", "b", "c"):
            caller.say(type="text", text=utterance * 5, utterance=utterance)
            caller.say(type="close", utterance=utterance)
        for utterance in ("a", "b", "c"):
            messages = await caller.read_until("done")
            assert messages[0]["type"] == "stream_created"
            assert messages[0]["utterance"] == utterance
            assert audio(messages) == engine.audio_of(utterance * 5)


async def test_many_callers_at_once_sound_as_each_would_alone(service: TtsService, engine: LetterTts) -> None:
    texts = ["abcdefgh" * 3, "ij" * 5, "k", "lmno" * 7]
    async with (
        talking(service) as one,
        talking(service) as two,
        talking(service) as three,
        talking(service) as four,
    ):
        callers = (one, two, three, four)
        for caller, text in zip(callers, texts, strict=True):
            caller.say(type="text", text=text)
            caller.say(type="close")
        for caller, text in zip(callers, texts, strict=True):
            assert await all_of(caller) == engine.audio_of(text)
    assert max(map(len, engine.batches)) > 1


async def test_cancel_stops_the_engine_within_one_step(service: TtsService, engine: LetterTts) -> None:
    async with talking(service) as caller:
        caller.say(type="text", text="a" * 41)
        await caller.read_until("stream_created")
        await caller.read()
        engine.gate.shut()
        await until(engine.gate.waiting.is_set)
        steps = len(engine.batches) + 1  # the one that stands before the gate
        caller.say(type="cancel")
        await caller.read_until("cancelled")
        engine.gate.open()
        await until(lambda: engine.open_streams == 0)
        assert len(engine.batches) <= steps < 41
        await asyncio.sleep(0.02)
        assert caller.to_caller.empty(), "something was sent after the cancel was read"


async def test_no_audio_follows_a_cancel_even_when_all_of_it_was_made_already(
    service: TtsService, engine: LetterTts
) -> None:
    async with talking(service, window=2) as slow:
        slow.say(type="text", text="abcdefghij")
        slow.say(type="close")
        await until(lambda: sum(map(len, engine.batches)) == 10 and engine.open_streams == 0)
        slow.say(type="cancel")
        await asyncio.sleep(0.02)
        messages = await slow.read_until("cancelled")
        assert len(audio(messages)) <= 3 * len(engine.frame("a")), "only what was on its way already"


async def test_no_audio_of_many_short_streams_follows_a_cancel(
    service: TtsService, engine: LetterTts
) -> None:
    async with talking(service, window=1) as slow:
        for number in range(150):
            slow.say(type="text", text="a", utterance=str(number))
        slow.say(type="close")
        await until(lambda: len(engine.streams) == 150 and engine.open_streams == 0)
        slow.say(type="cancel")
        await asyncio.sleep(0.02)
        assert len(audio(await slow.read_until("cancelled"))) <= 2 * len(engine.frame("a"))


async def test_the_next_utterance_is_whole_after_a_cancel(service: TtsService, engine: LetterTts) -> None:
    async with talking(service) as caller:
        for _ in range(20):
            caller.say(type="text", text="a" * 30, utterance="old")
            caller.say(type="cancel")
            caller.say(type="text", text="bcd", utterance="new")
            caller.say(type="close", utterance="new")
            await caller.read_until("cancelled")
            messages = await caller.read_until("done")
            assert messages[0]["utterance"] == "new"
            assert audio(messages) == engine.audio_of("bcd")
        await until(lambda: engine.open_streams == 0)


async def test_a_failed_segment_is_reported_once_and_the_next_one_spoken(
    service: TtsService, engine: LetterTts
) -> None:
    async with talking(service) as caller:
        caller.say(type="text", text="abXcd")
        caller.say(type="text", text="ef")
        caller.say(type="close")
        messages = await caller.read_until("done")
    assert kinds(messages) == [
        "stream_created",
        "audio",
        "error",
        "segment_complete",
        "audio",
        "segment_complete",
        "done",
    ]
    assert "do not say X" in next(m for m in messages if "error" in str(m))["message"]
    assert audio(messages) == engine.audio_of("abef")
    assert sum("abXcd" in batch for batch in engine.batches) == 3, "a failed step is tried again"


async def test_a_text_without_anything_to_say_is_complete_and_silent(service: TtsService) -> None:
    async with talking(service) as caller:
        for text in ("", "   ", "🙂", "**", "\n"):
            caller.say(type="text", text=text)
        caller.say(type="close")
        messages = await caller.read_until("done")
        assert [m["type"] for m in messages].count("segment_complete") == 5
        assert messages[-1]["total_audio_ms"] == 0


async def test_the_engine_waits_for_a_caller_that_does_not_read(
    service: TtsService, engine: LetterTts
) -> None:
    """And a caller that does read is served meanwhile."""
    async with talking(service, window=1) as deaf, talking(service) as caller:
        deaf.say(type="text", text="a" * 3000)
        await until(lambda: sum("a" * 3000 in b for b in engine.batches) * 100 >= MAX_AHEAD_S * 16000)
        caller.say(type="text", text="bcd")
        caller.say(type="close")
        assert await all_of(caller) == engine.audio_of("bcd")
        ahead = sum("a" * 3000 in batch for batch in engine.batches) * 100 / 16000
        assert ahead <= MAX_AHEAD_S + 0.1
        deaf.say(type="close")
        assert await all_of(deaf) == engine.audio_of("a" * 3000), "it reads on, and has lost nothing"


async def test_a_long_batch_segment_leaves_in_messages_of_moderate_size(
    service: TtsService, engine: LetterTts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_frame_samples", 600_000)
    async with talking(service) as caller:
        caller.say(type="text", text="a", mode="batch")
        caller.say(type="close")
        messages = await caller.read_until("done")
        assert audio(messages) == engine.audio_of("a")
        assert max(len(m) for m in messages if isinstance(m, bytes)) < 1024 * 1024


async def test_a_caller_that_hangs_up_stops_its_engine_stream(service: TtsService, engine: LetterTts) -> None:
    async with talking(service) as caller:
        caller.say(type="text", text="a" * 1000)
        await caller.read_until("stream_created")
    assert service.runner.active == 0
    await until(lambda: engine.open_streams == 0)
    assert sum(map(len, engine.batches)) < 1000


async def test_a_caller_that_hangs_up_while_its_segment_is_opened_leaks_nothing(
    service: TtsService, engine: LetterTts
) -> None:
    engine.gate.shut()
    async with talking(service) as caller:
        caller.say(type="text", text="abc")
        await until(engine.gate.waiting.is_set)
    engine.gate.open()
    await until(lambda: len(engine.streams) == 1 and engine.open_streams == 0)


async def test_the_event_loop_runs_on_while_the_engine_steps(service: TtsService, engine: LetterTts) -> None:
    async with talking(service) as caller:
        engine.gate.shut()
        caller.say(type="text", text="abc")
        await until(engine.gate.waiting.is_set)
        for _ in range(100):
            caller.say(type="ping")
            assert await caller.read_until("pong")
        assert not engine.batches
        engine.gate.open()


async def test_a_long_stream_is_not_ended_by_any_timer(
    service: TtsService, engine: LetterTts, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + ahead)
    async with talking(service) as caller:
        caller.say(type="text", text="a" * 20)
        await caller.read_until("stream_created")
        engine.gate.shut()
        await until(engine.gate.waiting.is_set)
        ahead = 3600.0  # an hour passes in the middle of the segment
        await asyncio.sleep(0.02)
        engine.gate.open()
        caller.say(type="text", text="b")
        caller.say(type="close")
        messages = await caller.read_until("done")
        assert kinds(messages)[-1] == "done"
        assert "error" not in kinds(messages)
        assert audio(messages)[-200 * 15 :] == engine.audio_of("a" * 14 + "b")


BAD_MESSAGES = [
    pytest.param("{", "JSON", id="half a JSON"),
    pytest.param("\x00\x01garbage", "JSON", id="garbage"),
    pytest.param("[" * 50_000, "nested", id="deep nesting"),
    pytest.param(b"\x00\x01\x02", "not binary", id="audio"),
    pytest.param('{"type":"sing"}', "'sing'; allowed: cancel, close, init, ping, text", id="unknown type"),
    pytest.param('{"type":"init","voice":"bob"}', "'bob'; allowed: aria, john", id="wrong voice"),
    pytest.param('{"type":"init","language":"tlh"}', "'tlh'; allowed: en", id="wrong language"),
    pytest.param('{"type":"text","text":"' + "a" * 5000 + '"}', "4000 characters", id="long text"),
    pytest.param('{"type":"text","text":"' + "a" * 10_000_000 + '"}', "bytes", id="10 MB"),
    pytest.param(bytes(10_000_000), "not binary", id="10 MB of audio"),
]


@pytest.mark.parametrize(("message", "says"), BAD_MESSAGES)
async def test_a_bad_message_is_explained_and_the_next_request_works(
    service: TtsService, engine: LetterTts, message: str | bytes, says: str
) -> None:
    async with talking(service) as caller:
        caller.say(message)
        error = await caller.read()
        assert error["type"] == "error"
        assert error["fatal"] is False
        assert says in error["message"]
        assert len(error["message"]) < 300
        caller.say(type="text", text="ab")
        caller.say(type="close")
        assert await all_of(caller) == engine.audio_of("ab")


async def test_callers_beyond_the_capacity_are_refused_at_once() -> None:
    service = TtsService(LetterTts(capacity=1), TtsSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as first:
            first.say(type="ping")
            await first.read_until("pong")
            async with talking(service) as second:
                refusal = await second.read()
                assert refusal["fatal"] is True
                assert "1 places are taken" in refusal["message"]
                assert (await second.closed)[0] == 1013
        async with talking(service) as third:
            third.say(type="ping")
            assert await third.read() == {"type": "pong"}


async def test_the_metrics_say_how_many_segments_the_engine_takes_in_a_step() -> None:
    service = TtsService(LetterTts(max_batch=5), TtsSettings(engine="none"))
    assert service.metrics.registry.get_sample_value("nemotron_tts_step_limit_streams") == 5


async def test_streams_of_all_callers_advance_together_and_none_starves() -> None:
    engine = LetterTts(max_batch=2)
    service = TtsService(engine, TtsSettings(engine="none"))
    async with service.runner.running():
        await until(lambda: service.health()[0] == 200)
        async with (
            talking(service) as one,
            talking(service) as two,
            talking(service) as three,
            talking(service) as four,
        ):
            callers = {"a" * 50: one, "b" * 50: two, "c" * 50: three, "d" * 50: four}
            engine.gate.shut()
            for text, caller in callers.items():
                caller.say(type="text", text=text)
                caller.say(type="close")
            await asyncio.sleep(0.02)
            engine.gate.open()
            for text, caller in callers.items():
                assert await all_of(caller) == engine.audio_of(text)
        assert max(map(len, engine.batches)) <= 2
        last = {text: max(i for i, b in enumerate(engine.batches) if text in b) for text in callers}
        assert min(last.values()) > len(engine.batches) / 2, "one caller was finished before others began"


async def test_word_times_are_of_the_text_as_it_was_written(service: TtsService, engine: LetterTts) -> None:
    text = "It costs **$5** — at 20 °C 🙂"
    async with talking(service) as caller:
        caller.say(type="text", text=text)
        messages = await caller.read_until("segment_complete")
    said = "It costs five dollars — at twenty degrees Celsius"
    assert engine.streams[0].segment.text == said
    complete = messages[-1]
    assert [word for word, _, _ in complete["words"]] == ["It", "costs", "**$5**", "at", "20", "°C"]
    assert complete["words"][-1][2] == pytest.approx(complete["audio_ms"], abs=1)
    assert complete["words_estimated"] is True, "this engine knows no times"
    assert complete["unspoken"] == "🙂"


async def test_word_times_of_the_engine_are_no_estimate() -> None:
    service = TtsService(ScriptedTts(), TtsSettings(engine="none"))
    async with service.running():
        await until(lambda: service.health()[0] == 200)
        async with talking(service) as caller:
            caller.say(type="text", text="That is $5 more")
            complete = (await caller.read_until("segment_complete"))[-1]
    assert "words_estimated" not in complete
    assert "unspoken" not in complete
    words = {word: (start, end) for word, start, end in complete["words"]}
    assert list(words) == ["That", "is", "$5", "more"]
    assert words["$5"] == (8 * 55, 21 * 55), "as long as `five dollars`, at 55 ms a character"


async def test_a_text_that_cannot_be_spoken_at_all_is_reported(
    service: TtsService, engine: LetterTts
) -> None:
    async with talking(service) as caller:
        caller.say(type="text", text="🎉 👍🏽")
        complete = (await caller.read_until("segment_complete"))[-1]
    assert complete["unspoken"] == "🎉 👍🏽"
    assert complete["audio_ms"] == 0
    assert not engine.streams, "the engine was asked for silence"


async def test_a_long_text_is_put_into_words_off_the_loop(service: TtsService, engine: LetterTts) -> None:
    async with talking(service) as caller:
        caller.say(type="text", text="1 " * 300)
        caller.say(type="close")
        messages = await caller.read_until("done")
    assert engine.streams[0].segment.text == " ".join(["one"] * 300)
    complete = next(m for m in messages if isinstance(m, dict) and m["type"] == "segment_complete")
    assert len(complete["words"]) == 300
