"""Requests to a language model's server: one at a time, and a warm-up gives way to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

import aiohttp
from loguru import logger

from nemotron_speech.errors import PeerError
from nemotron_speech.protocol.llama.api import (
    CHAT_PATH,
    HEALTH_PATH,
    MODELS_PATH,
    PROPS_PATH,
    ChatAnswer,
    ChatRequest,
    Event,
    Finish,
    parse_context_tokens,
    parse_error,
    parse_props,
)
from pipecat_bots.llm.cache.server import GoesBack, ServerCache
from pipecat_bots.llm.cache.slots import SlotPolicy
from pipecat_bots.llm.reply import RequestRefused

CONNECT_TIMEOUT_S = 3.0
SILENCE_TIMEOUT_S = 20.0
"""Longest silence between two reads of a stream; a prompt being evaluated reports far more often."""
ENDING_S = 1.0
"""Longest wait for counts and the end mark behind an answer that the server has ended."""
GONE = (aiohttp.ClientError, OSError, TimeoutError, PeerError)
"""Exceptions that a server that is away, or breaks off, is known by."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of a server's routes."""

    root: str
    """`http://host:port`"""
    plain: bool = False
    """True for an OpenAI-compatible server other than llama.cpp."""
    api_key: str | None = None

    @property
    def chat(self) -> str:
        return self.root + CHAT_PATH

    @property
    def health(self) -> str:
        return self.root + (MODELS_PATH if self.plain else HEALTH_PATH)


class ModelServer:
    """One conversation's way to the server.

    Args:
        endpoints: The server.
        slots: Which of a llama.cpp server's slots a request goes to.
        silence_timeout_s: Silence after which a request is given up.
    """

    def __init__(
        self, endpoints: Endpoints, slots: SlotPolicy, *, silence_timeout_s: float = SILENCE_TIMEOUT_S
    ) -> None:
        self._at = endpoints
        self._silence_timeout_s = silence_timeout_s
        self._slots = slots
        self._http: aiohttp.ClientSession | None = None
        self.cache = ServerCache(GoesBack.ANYWHERE if endpoints.plain else GoesBack.UNKNOWN)
        self.is_strict = False
        """True if the server refuses all fields but OpenAI's: then a stopped answer cannot go on."""
        self.context_tokens: int | None = None
        """Tokens a conversation may have; None while that is not known."""

    def open(self) -> None:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=self._silence_timeout_s
        )
        headers = {"Authorization": f"Bearer {self._at.api_key}"} if self._at.api_key else None
        self._http = aiohttp.ClientSession(timeout=timeout, headers=headers)

    async def close(self) -> None:
        http, self._http = self._http, None
        self._slots.leave()
        if http is not None:
            await http.close()

    @property
    def is_open(self) -> bool:
        return self._http is not None

    @property
    def keeps_one_cache(self) -> bool:
        """True if every request meets the same cache, so that warming it serves the next one."""
        return self._slots.keeps_one_cache

    def can_go_on(self, *, at_any_price: bool) -> bool:
        """Return whether an answer can go on after its request was closed: at no cost, or `at_any_price`."""
        return not self.is_strict and (at_any_price or self.cache.can_go_on_after_a_stop)

    @property
    def pays_for_a_wrong_guess(self) -> bool:
        """True if the conversation is read again when a request is replaced by another."""
        return self.keeps_one_cache and self.cache.pays_for_a_wrong_guess

    async def events(
        self, request: ChatRequest, *, is_warm_up: bool = False
    ) -> AsyncGenerator[list[Event], None]:
        """Give what is received, read by read; closing the generator closes the request.

        Raises Refused, and what is in `GONE`.
        """
        slot = await self._slot()
        number = self.cache.begin(request)
        try:
            async with await self._answer(replace(request, id_slot=slot, plain=self._at.plain)) as response:
                answer = ChatAnswer()
                async for data in _reads(response, answer):
                    events = answer.feed(data)
                    self.cache.take(number, events, is_warm_up=is_warm_up)
                    yield events
                    if answer.ended:
                        return
                yield answer.end()
        finally:
            self._slots.release(slot, asyncio.get_running_loop().time())

    async def _answer(self, request: ChatRequest) -> aiohttp.ClientResponse:
        """Begin an answer, with OpenAI's fields alone if nothing else is accepted. Raises Refused."""
        try:
            return await self._post(replace(request, strict=self.is_strict))
        except RequestRefused as refusal:
            if self.is_strict or not self._at.plain or not refusal.error.is_of_the_request:
                raise
        response = await self._post(replace(request, strict=True))
        logger.info(f"{self._at.root} takes OpenAI's fields only: its thoughts cannot be switched off")
        self.is_strict = True
        return response

    async def _post(self, request: ChatRequest) -> aiohttp.ClientResponse:
        try:
            response = await self._send(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            # the connection was a kept one, which the server had given up: llama.cpp does after each answer
            response = await self._send(request)
        if response.status == 200:
            return response
        async with response:
            raise RequestRefused(parse_error(response.status, await response.read()))

    async def _send(self, request: ChatRequest) -> aiohttp.ClientResponse:
        assert self._http is not None
        return await self._http.post(self._at.chat, json=request.body())

    async def warm(self, request: ChatRequest) -> int:
        """Have the request's messages evaluated into the cache; return how many tokens that took."""
        warm_up = replace(request, plain=self._at.plain).warm_up()
        async with aclosing(self.events(warm_up, is_warm_up=True)) as reads:
            async for events in reads:
                for event in events:
                    if isinstance(event, Finish):
                        return event.prompt_tokens - event.cached_tokens
        return 0

    async def learn_context_tokens(self) -> None:
        """Ask how long a conversation may be, unless that is known or the server does not say."""
        if self.context_tokens is not None or self._http is None:
            return
        path = MODELS_PATH if self._at.plain else PROPS_PATH
        with suppress(*GONE):
            timeout = aiohttp.ClientTimeout(total=CONNECT_TIMEOUT_S)
            async with self._http.get(self._at.root + path, timeout=timeout) as response:
                body = await response.read()
                if response.status == 200:
                    self.context_tokens = self._stated(body) or None

    def _stated(self, body: bytes) -> int | None:
        if self._at.plain:
            return parse_context_tokens(body)
        props = parse_props(body)
        self._slots.learn(props.total_slots)
        return props.n_ctx

    def learn_context(self, tokens: int | None) -> None:
        """Note how long a conversation may be, as an answer showed it, unless the server has said so."""
        self.context_tokens = self.context_tokens or tokens or None

    async def _slot(self) -> int | None:
        lease = self._slots.acquire(asyncio.get_running_loop().time())
        if lease.wait_s:
            await asyncio.sleep(lease.wait_s)
        return lease.slot


async def _reads(response: aiohttp.ClientResponse, answer: ChatAnswer) -> AsyncGenerator[bytes, None]:
    """Give the body as it comes; no longer than a moment behind the answer's end."""
    while True:
        try:
            async with asyncio.timeout(ENDING_S if answer.is_complete else None):
                data = await response.content.readany()
        except TimeoutError:
            if not answer.is_complete:
                raise
            return
        if not data:
            return
        yield data
