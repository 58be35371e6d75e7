"""Web pages of other origins as users of an HTTP interface (CORS, in the Fetch standard)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiohttp import web

EXPOSED_HEADERS = "X-Sample-Rate, X-Duration-Ms, X-Unspoken, Retry-After"
"""Response headers that a web page may read besides the usual."""
_METHODS = "GET, POST, DELETE"
_MAX_AGE_S = 600


class Cors:
    """The pages that may use an application.

    Args:
        origins: Those that may, as browsers spell them; `*` for all.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._origins = origins

    def install(self, app: web.Application) -> None:
        """Answer preflights, and say in every answer that its reader is welcome."""
        if self._origins:
            app.middlewares.append(self._preflight)
            app.on_response_prepare.append(self._welcome)

    @web.middleware
    async def _preflight(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return await handler(request)
        asked = request.headers.get("Access-Control-Request-Headers", "")
        allowed = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": str(_MAX_AGE_S)}
        return web.Response(
            status=204, headers=allowed | {"Access-Control-Allow-Headers": asked} if asked else allowed
        )

    async def _welcome(self, request: web.Request, response: web.StreamResponse) -> None:
        origin = request.headers.get("Origin", "")
        response.headers.add("Vary", "Origin")
        if origin and ("*" in self._origins or origin in self._origins):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
