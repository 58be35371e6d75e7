"""Prompt cache of a server, told from its answers, and where reading ahead gains something."""

from __future__ import annotations

from collections.abc import Sequence

from nemotron_speech.protocol.llama.api import (
    ChatRequest,
    Event,
    Finish,
    FinishReason,
    Message,
    Progress,
    TextDelta,
)
from pipecat_bots.llm.cache.server import GoesBack, ServerCache

HEAD: Message = {"role": "system", "content": "Be brief. " * 60}
ANSWER = "This is the answer, which is of some length. " * 6


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def tokens(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) // 4 + 6 for message in messages)


def answered(cache: ServerCache, messages: Sequence[Message], cached: int, answer: str = ANSWER) -> None:
    """Let a request be answered whole, of which so many tokens were cached."""
    number = cache.begin(ChatRequest(messages))
    finish = Finish(FinishReason.STOP, tokens(messages), cached, len(answer) // 4, states_cache=True)
    cache.take(number, [TextDelta(answer), finish])


def warmed(cache: ServerCache, messages: Sequence[Message], cached: int) -> None:
    number = cache.begin(ChatRequest(messages))
    finish = Finish(FinishReason.LENGTH, tokens(messages), cached, 1, states_cache=True)
    events: list[Event] = [Progress(tokens(messages), cached, tokens(messages), 1), TextDelta("x"), finish]
    cache.take(number, events, is_warm_up=True)


def asked(*, heard: str = "") -> tuple[ServerCache, list[Message]]:
    """A cache behind one whole answer, and the conversation with what was heard of it."""
    cache, messages = ServerCache(), [HEAD, user("Hello")]
    answered(cache, messages, 0)
    return cache, [*messages, assistant(heard or ANSWER)]


def test_instructions_are_read_before_the_first_question_and_a_few_words_are_not() -> None:
    assert ServerCache().gains_by_reading([HEAD])
    assert not ServerCache().gains_by_reading([{"role": "system", "content": "Be brief."}])


def test_what_was_read_is_not_read_again() -> None:
    cache = ServerCache()
    warmed(cache, [HEAD], 0)
    assert not cache.gains_by_reading([HEAD])
    assert not cache.gains_by_reading([HEAD, assistant("Hello.")])


def test_an_answer_that_was_heard_whole_is_where_the_cache_ends() -> None:
    cache, conversation = asked()
    assert not cache.gains_by_reading(conversation)


def test_a_request_that_was_stopped_while_it_was_read_is_gone_on_with() -> None:
    cache = ServerCache()
    number = cache.begin(ChatRequest([HEAD]))
    cache.take(number, [Progress(tokens([HEAD]), 0, tokens([HEAD]) // 4, 1)])
    assert cache.gains_by_reading([HEAD])
    cache.take(number, [Progress(tokens([HEAD]), 0, tokens([HEAD]) - 10, 1)])
    assert not cache.gains_by_reading([HEAD])


def test_after_an_interruption_a_server_of_unknown_kind_is_tried() -> None:
    cache, conversation = asked(heard=ANSWER[:120])
    assert cache.gains_by_reading(conversation)
    warmed(cache, conversation, tokens(conversation) - 1)
    assert cache.goes_back is GoesBack.ANYWHERE
    answered(cache, [*conversation, user("And then?")], tokens(conversation))
    interrupted = [*conversation, user("And then?"), assistant(ANSWER[:50])]
    assert not cache.gains_by_reading(interrupted)


def test_a_state_that_does_not_go_back_is_read_anew_after_each_interruption() -> None:
    cache, conversation = asked(heard=ANSWER[:120])
    warmed(cache, conversation, 0)
    assert cache.goes_back is GoesBack.TO_A_COPY
    assert cache.pays_for_a_wrong_guess
    assert not cache.can_go_on_after_a_stop
    answered(cache, [*conversation, user("And then?")], tokens(conversation))
    assert cache.gains_by_reading([*conversation, user("And then?"), assistant(ANSWER[:50])])


def test_an_answer_that_was_broken_off_has_more_in_the_cache_than_was_received() -> None:
    cache, messages = ServerCache(), [HEAD, user("Hello")]
    number = cache.begin(ChatRequest(messages))
    cache.take(number, [TextDelta("This is")])
    assert cache.gains_by_reading([*messages, assistant("This is")])


def test_a_cache_that_others_use_is_not_warmed_until_it_holds_something_again() -> None:
    cache, conversation = asked()
    for _ in range(2):
        conversation = [*conversation, user("And then?")]
        answered(cache, conversation, 0)
        conversation = [*conversation, assistant(ANSWER)]
    assert cache.goes_back is GoesBack.NOTHING_KEPT
    assert not cache.gains_by_reading([HEAD, *conversation[3:], user("x" * 1000), assistant("Yes.")])
    answered(cache, [*conversation, user("And?")], tokens(conversation))
    assert cache.goes_back is GoesBack.UNKNOWN


def test_nothing_is_learned_from_a_server_that_does_not_say_what_was_cached() -> None:
    cache, conversation = asked(heard=ANSWER[:120])
    number = cache.begin(ChatRequest(conversation))
    cache.take(number, [TextDelta("Yes."), Finish(FinishReason.STOP, tokens(conversation))])
    assert cache.goes_back is GoesBack.UNKNOWN


def test_a_request_that_another_has_followed_changes_nothing() -> None:
    cache = ServerCache()
    first = cache.begin(ChatRequest([HEAD]))
    second = cache.begin(ChatRequest([HEAD, user("Hello")]))
    cache.take(first, [TextDelta("Stale.")])
    cache.take(second, [Finish(FinishReason.STOP, 10, 0, 0, states_cache=True)])
    assert not cache.gains_by_reading([HEAD, user("Hello")])
