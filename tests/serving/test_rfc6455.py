"""RFC 6455 as a stranger's client finds it, on raw sockets, at both kinds of server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nemotron_speech.serving.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, apply_mask
from tests.serving.channel import PATIENCE_S
from tests.serving.engines import EchoAsr, LetterTts
from tests.serving.shells import recognising, speaking

SERVERS = ("recognition", "synthesis")
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x12\x34\xab\xcd"
LIMITS = {TEXT: 256 * 1024, BINARY: 1024 * 1024}


def frame(
    payload: bytes = b"",
    kind: int = TEXT,
    *,
    last: bool = True,
    reserved: int = 0,
    mask: bytes | None = MASK,
    length: bytes | None = None,
) -> bytes:
    """A frame, right or wrong: `length` replaces the bytes that say how long it is."""
    length = length or length_bytes(len(payload))
    masked = 0x80 if mask is not None else 0
    head = bytes((last << 7 | reserved << 4 | kind, masked | length[0])) + length[1:]
    return head + (mask + apply_mask(payload, mask) if mask is not None else payload)


def length_bytes(size: int) -> bytes:
    if size < 126:
        return bytes((size,))
    return b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)


class Stranger:
    """One connection; what it sends is bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def read(self) -> tuple[int, bytes]:
        """Return the kind and the payload of the next frame, which the server must not have masked."""
        first, second = await self._reader.readexactly(2)
        assert first & 0xF0 == 0x80, "a server of ours sends whole messages"
        assert not second & 0x80, "a server masks nothing"
        size = second
        if second >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if second == 126 else 8))
        return first & 0x0F, await self._reader.readexactly(size)

    async def code(self) -> int:
        """Return the close code the server sends, whatever it says before; then it hangs up."""
        while (said := await self.read())[0] != CLOSE:
            pass
        assert not await self._reader.read()
        return int.from_bytes(said[1][:2])

    async def says(self, type_: str) -> dict[str, object]:
        """Return the next text message, which is of this type."""
        kind, payload = await self.read()
        message = json.loads(payload)
        assert (kind, message["type"]) == (TEXT, type_)
        return message


def request(path: str, **changed: str | None) -> bytes:
    """An opening handshake; a header that is None is left out."""
    headers = {
        "Host": "here",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in changed.items()}  # fmt: skip
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for the answer to a good-bye that a stranger here never gives."""
    monkeypatch.setattr("nemotron_speech.serving.websocket._CLOSE_UNHEARD_TIMEOUT_S", 0.01)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    return request.param


@asynccontextmanager
async def serving(server: str) -> AsyncIterator[tuple[int, str]]:
    """Serve; yields the port and the path. The server must serve on whatever happened."""
    here = recognising("aiohttp", EchoAsr(capacity=8)) if server == "recognition" else None
    async with here or speaking("aiohttp", LetterTts()) as address, asyncio.timeout(PATIENCE_S):
        where = int(address.rpartition(":")[2]), "/" if server == "recognition" else "/ws/tts/stream"
        yield where
        async with calling(*where) as other:
            await answers(server, other)


@asynccontextmanager
async def calling(port: int, path: str) -> AsyncIterator[Stranger]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request(path))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert f"sec-websocket-accept: {ACCEPT}".lower() in head.decode().lower()
        stranger = Stranger(reader, writer)
        if path == "/":
            await stranger.says("ready")
        yield stranger
    finally:
        writer.transport.abort()


@asynccontextmanager
async def stranger_at(server: str) -> AsyncIterator[Stranger]:
    async with serving(server) as where, calling(*where) as stranger:
        yield stranger


ASKED = {"recognition": b'{"type":"reset"}', "synthesis": b'{"type":"ping"}'}
ANSWERED = {"recognition": "transcript", "synthesis": "pong"}


async def answers(server: str, stranger: Stranger) -> None:
    stranger.writer.write(frame(ASKED[server]))
    await stranger.says(ANSWERED[server])


# ----------------------------------------------------------------------------------- handshake


@pytest.mark.parametrize("version", ["7", "8", "0", "14", "thirteen", None])
async def test_another_version_is_refused_with_the_one_that_is_spoken(server: str, version: str) -> None:
    async with serving(server) as (port, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(path, Sec_WebSocket_Version=version))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 426 ")
        assert "sec-websocket-version: 13" in head
        writer.transport.abort()


@pytest.mark.parametrize(
    "changed", [{"Sec_WebSocket_Key": None}, {"Sec_WebSocket_Key": "short"}, {"Upgrade": None}]
)
async def test_what_is_no_handshake_is_refused(server: str, changed: dict[str, str | None]) -> None:
    async with serving(server) as (port, path):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(path, **changed))
        assert (await reader.readuntil(b"\r\n")).split()[1] in (b"400", b"426")
        writer.transport.abort()


# -------------------------------------------------------------------------------- what is right


async def test_a_message_in_pieces_with_a_ping_between_them_is_one_message(server: str) -> None:
    asked = ASKED[server]
    async with stranger_at(server) as stranger:
        pieces = [frame(asked[:3], last=False), frame(b"there?", PING), frame(b"", CONTINUATION, last=False)]
        stranger.writer.write(b"".join([*pieces, frame(asked[3:], CONTINUATION)]))
        assert await stranger.read() == (PONG, b"there?")
        await stranger.says(ANSWERED[server])


async def test_frames_cut_into_single_bytes_are_put_together(server: str) -> None:
    async with stranger_at(server) as stranger:
        for byte in frame(b"?" * 125, PING) + frame(ASKED[server]):
            stranger.writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert await stranger.read() == (PONG, b"?" * 125)
        await stranger.says(ANSWERED[server])


async def test_many_frames_in_one_write_are_told_apart(server: str) -> None:
    async with stranger_at(server) as stranger:
        stranger.writer.write((frame(b"a", PING) + frame(ASKED[server]) + frame(b"", PONG)) * 3)
        said = [await stranger.read() for _ in range(6)]
        assert said.count((PONG, b"a")) == 3
        assert [json.loads(text)["type"] for kind, text in said if kind == TEXT] == [ANSWERED[server]] * 3


@pytest.mark.parametrize("length", [b"\x7e\x00\x03", b"\x7f" + (3).to_bytes(8)])
async def test_a_length_in_more_bytes_than_it_needs_is_understood(server: str, length: bytes) -> None:
    async with stranger_at(server) as stranger:
        asked = ASKED[server]
        stranger.writer.write(frame(asked, length=length[:-1] + bytes((len(asked),))))
        await stranger.says(ANSWERED[server])


@pytest.mark.parametrize("size", [125, 126, 127, 65535, 65536, LIMITS[TEXT]])
async def test_a_message_of_any_size_up_to_the_limit_is_taken(server: str, size: int) -> None:
    asked = ASKED[server].ljust(size)
    async with stranger_at(server) as stranger:
        stranger.writer.write(frame(asked))
        await stranger.says(ANSWERED[server])


async def test_text_beyond_ascii_may_be_cut_within_a_character(server: str) -> None:
    asked = json.dumps({**json.loads(ASKED[server]), "note": "æøå 🙂"}, ensure_ascii=False).encode()
    async with stranger_at(server) as stranger:
        for cut in range(1, len(asked)):
            stranger.writer.write(frame(asked[:cut], last=False) + frame(asked[cut:], CONTINUATION))
            await stranger.says(ANSWERED[server])


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
async def test_a_good_bye_is_answered_with_its_code(server: str, code: int) -> None:
    async with stranger_at(server) as stranger:
        stranger.writer.write(frame(code.to_bytes(2) + "done ✓".encode(), CLOSE))
        assert await stranger.code() == code


async def test_a_good_bye_without_a_code_is_answered(server: str) -> None:
    async with stranger_at(server) as stranger:
        stranger.writer.write(frame(b"", CLOSE) + frame(ASKED[server]))
        assert await stranger.code() == 1000


# -------------------------------------------------------------------------------- what is wrong


BEGUN = frame(b'{"ty', last=False)
WRONG = {
    "unmasked": frame(b"{}", mask=None),
    "unmasked ping": frame(b"", PING, mask=None),
    "unmasked later": frame(b"", PING) + frame(b"{}", mask=None),
    **{f"reserved bits {bits:03b}": frame(b"{}", reserved=bits) for bits in (1, 2, 4, 7)},
    **{f"reserved bit of a ping {bits:03b}": frame(b"", PING, reserved=bits) for bits in (1, 2, 4)},
    **{f"opcode {kind}": frame(b"", kind) for kind in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a long ping": frame(b"?" * 126, PING),
    "a long close": frame(b"\x03\xe8" + b"?" * 124, CLOSE),
    "a ping in pieces": frame(b"?", PING, last=False),
    "a close in pieces": frame(b"\x03\xe8", CLOSE, last=False),
    "the rest of nothing": frame(b"{}", CONTINUATION),
    "more of nothing": frame(b"{}", CONTINUATION, last=False),
    "a message within another": BEGUN + frame(b"{}"),
    "a message within another's empty beginning": frame(b"", last=False) + frame(b"{}"),
    "another begun": BEGUN + frame(b"{}", last=False),
    "half a close code": frame(b"\x03", CLOSE),
    **{
        f"close code {code}": frame(code.to_bytes(2), CLOSE)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in WRONG.items()])
async def test_what_a_client_may_not_send_is_closed_with_1002(server: str, sent: bytes) -> None:
    async with stranger_at(server) as stranger:
        stranger.writer.write(sent + frame(ASKED[server]))
        assert await stranger.code() == 1002


BAD_TEXT = b'{"type":"\xc3\x28"}'


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(frame(BAD_TEXT), id="in one frame"),
        pytest.param(frame(BAD_TEXT[:10], last=False) + frame(BAD_TEXT[10:], CONTINUATION), id="in two"),
        pytest.param(frame("æ".encode()[:1]), id="half a character"),
        pytest.param(frame(b"\x03\xe8\xed\xa0\x80", CLOSE), id="in a good-bye's reason"),
    ],
)
async def test_text_that_is_not_utf_8_is_closed_with_1007(server: str, sent: bytes) -> None:
    async with stranger_at(server) as stranger:
        stranger.writer.write(sent)
        assert await stranger.code() == 1007


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("pieces", [1, 2, 64])
async def test_a_message_over_its_limit_is_closed_with_1009_before_it_is_kept(
    server: str, kind: int, pieces: int
) -> None:
    """Only its last byte is too many, and that byte is not even sent."""
    part = LIMITS[kind] // pieces
    async with stranger_at(server) as stranger:
        for number in range(pieces - 1):
            stranger.writer.write(frame(bytes(part), CONTINUATION if number else kind, last=False))
        stranger.writer.write(frame(b"", CONTINUATION if pieces > 1 else kind, length=length_bytes(part + 1)))
        assert await stranger.code() == 1009


@pytest.mark.parametrize("size", [1 << 62, 1 << 63, (1 << 64) - 1])
async def test_a_message_of_exabytes_is_closed_with_1009(server: str, size: int) -> None:
    async with stranger_at(server) as stranger:
        stranger.writer.write(frame(b"abc", BINARY, length=b"\x7f" + size.to_bytes(8)))
        assert await stranger.code() == 1009
