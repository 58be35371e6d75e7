"""Plain WebSocket clients as the protocols' first users wrote them: seed_speech.py asr|yap|tts URL

They know the required messages only and wait for what a plain server says. Prints what came, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from typing import Any

import websockets

RATE = 16000
FRAME = RATE // 50
PATIENCE_S = 20.0
LOUD = b"".join(int(9000 * math.sin(n / 4)).to_bytes(2, "little", signed=True) for n in range(FRAME))


async def received(socket: websockets.ClientConnection) -> Any:
    message = await asyncio.wait_for(socket.recv(), PATIENCE_S)
    return message if isinstance(message, bytes) else json.loads(message)


async def say(socket: websockets.ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps(fields))


async def asr(url: str) -> dict[str, Any]:
    """Two utterances: one with a soft reset in it, one ended by `end`."""
    async with websockets.connect(url) as socket:
        greeting = await received(socket)
        finals = []
        for closing in ({"type": "reset", "finalize": False}, {"type": "reset"}, {"type": "end"}):
            for _ in range(40):
                await socket.send(LOUD)
            await say(socket, **closing)
            while not (message := await received(socket)).get("is_final"):
                pass
            finals.append([message["text"], message.get("finalize")])
    return {"greeting": greeting["type"], "finals": finals}


async def yap(url: str) -> dict[str, Any]:
    """A session of a client that knows interims alone: the last one is its transcript."""
    transcript = ""
    async with websockets.connect(url) as socket:
        await say(socket, op="init", sid="s1", sr=RATE)
        for _ in range(40):
            await socket.send(LOUD)
        await say(socket, op="close", sid="s1")
        try:
            while True:
                message = await received(socket)
                if message["op"] == "interim":
                    transcript = message["text"]
                final = message["text"] if message["op"] == "final" else ""
        except websockets.ConnectionClosed:
            code = socket.close_code
    return {"transcript": transcript, "final": final, "code": code}


async def tts(url: str) -> dict[str, Any]:
    """Speak two segments, then cancel a long one and speak again; the first text follows `stream_created`."""
    async with websockets.connect(url) as socket:
        await say(socket, type="init", voice="aria", language="en", default_mode="batch")
        created = await received(socket)
        await say(socket, type="text", text="Good morning.", mode="stream", preset="conservative")
        await say(socket, type="text", text="How are you?")
        await say(socket, type="close")
        first, events = await until_done(socket)
        await say(socket, type="init", voice="aria", language="en")
        while (await received(socket))["type"] != "stream_created":
            pass
        await say(socket, type="text", text="One, two, three, four, five. " * 40)
        while not isinstance(await received(socket), bytes):
            pass
        await say(socket, type="cancel")
        await say(socket, type="ping")
        while (
            (message := await received(socket)) == b""
            or isinstance(message, bytes)
            or message["type"] != "pong"
        ):
            pass
        await asyncio.sleep(0.3)
        await say(socket, type="ping")
        late = 0
        while isinstance(message := await received(socket), bytes):
            late += len(message)
        await say(socket, type="init", voice="aria", language="en")
        await say(socket, type="text", text="Good morning.")
        await say(socket, type="close")
        again, _ = await until_done(socket)
    return {"created": created["type"], "events": events, "bytes": first, "late": late, "again": again}


async def until_done(socket: websockets.ClientConnection) -> tuple[int, list[str]]:
    size, events = 0, []
    while "done" not in events:
        message = await received(socket)
        if isinstance(message, bytes):
            size += len(message)
        else:
            events.append(message["type"])
    return size, events


if __name__ == "__main__":
    client = {"asr": asr, "yap": yap, "tts": tts}[sys.argv[1]]
    print(json.dumps(asyncio.run(client(sys.argv[2]))))
