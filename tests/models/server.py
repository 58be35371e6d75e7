"""A hub and two package registries on loopback, in a thread of their own, that can be made to misbehave."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.models.small import sha256


@dataclass
class Served:
    """One file, and the manner in which it is given."""

    data: bytes
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    """Bytes after which each connection is cut, one after the other; then none is."""
    statuses: list[int] = field(default_factory=list)
    """Answers in place of the file, one after the other."""
    redirect: str = ""
    stall: bool = False
    """Whether nothing comes after the first half, on the first connection."""
    hold: threading.Event | None = None
    """Event that is waited for after the first half."""
    asked: list[str] = field(default_factory=list)
    """Range header of each request."""


class Server:
    """What is served by path; `url` is where."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.wheels: dict[str, dict[str, bytes]] = {}
        """Package to its archives by file name."""
        self.tarballs: dict[str, bytes] = {}
        self.url = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/simple/{package}/", self._index),
            web.get("/archives/{package}/{name}", self._archive),
            web.get("/npm/{package}", self._npm),
            web.get("/npm/{package}/-/{name}", self._tarball),
            web.get("/{path:.*}", self._file),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        package = request.match_info["package"]
        if package not in self.wheels:
            raise web.HTTPNotFound
        links = [
            f'<a href="/archives/{package}/{name}#sha256={sha256(data)}">{name}</a>'
            for name, data in self.wheels[package].items()
        ]
        return web.Response(
            text=f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>", content_type="text/html"
        )

    async def _archive(self, request: web.Request) -> web.Response:
        return web.Response(body=self.wheels[request.match_info["package"]][request.match_info["name"]])

    async def _npm(self, request: web.Request) -> web.Response:
        package = request.match_info["package"]
        if package not in self.tarballs:
            raise web.HTTPNotFound
        digest = base64.b64encode(hashlib.sha512(self.tarballs[package]).digest()).decode()
        dist = {"tarball": f"{self.url}/npm/{package}/-/{package}-1.0.0.tgz", "integrity": f"sha512-{digest}"}
        version = {"name": package, "version": "1.0.0", "dist": dist}
        return web.json_response(
            {"name": package, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        )

    async def _tarball(self, request: web.Request) -> web.Response:
        return web.Response(body=self.tarballs[request.match_info["package"]])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        served = self.files.get(request.match_info["path"])
        if served is None:
            raise web.HTTPNotFound
        served.asked.append(request.headers.get("Range", ""))
        if served.statuses:
            return web.Response(status=served.statuses.pop(0))
        if served.redirect:
            raise web.HTTPFound(served.redirect)
        return await _sent(request, served)


async def _sent(request: web.Request, served: Served) -> web.StreamResponse:
    begin = 0
    response = web.StreamResponse()
    if served.ranges and (wanted := request.http_range).start:
        begin = wanted.start
        response.set_status(206)
        response.headers["Content-Range"] = f"bytes {begin}-{len(served.data) - 1}/{len(served.data)}"
    response.content_length = len(served.data) - begin
    await response.prepare(request)
    end = served.break_after.pop(0) if served.break_after else len(served.data)
    half = (begin + end) // 2
    await response.write(served.data[begin:half])
    if served.stall:
        served.stall = False
        await asyncio.sleep(3600)
    if served.hold is not None:
        await asyncio.to_thread(served.hold.wait, 60)
    await response.write(served.data[half:end])
    if end < len(served.data) and request.transport is not None:
        request.transport.close()
    return response


@contextmanager
def serving() -> Iterator[Server]:
    """Serve from a thread until the block is left."""
    server, ready, loop = Server(), threading.Event(), asyncio.new_event_loop()
    done = asyncio.Event()

    async def run() -> None:
        app = web.Application()
        app.add_routes(server.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await done.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert ready.wait(20)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(20)
        loop.close()
