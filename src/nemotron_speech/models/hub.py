"""Official source of a model's files: the hub's or the vendor's address, over HTTP, with resumption."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from nemotron_speech.models.catalogue import ModelFile
from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.sources import Progress

HUB = "https://huggingface.co"
_CONNECT_S, _READ_S = 8.0, 30.0
"""Longest wait for a connection, and for the next bytes of a file."""
_ATTEMPTS = 5
"""Connections in a row that may break without a new byte."""
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class Broken(Exception):
    """The connection ended before the file did."""


class HubSource:
    """Files at their official addresses.

    Args:
        endpoint: Address of the hub, or of a mirror of it.
        offline: Whether the hub is not to be asked.
        client: HTTP client; one that follows redirects and uses the environment's proxies.
        pause: Wait of some seconds between two attempts.
    """

    name = "hub"

    def __init__(
        self,
        endpoint: str = HUB,
        offline: bool = False,
        client: httpx.Client | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint, self._offline, self._pause = endpoint.rstrip("/"), offline, pause
        self._client = client or _client()
        self._unreachable: dict[str, str] = {}
        """Host to the reason why it is not asked again."""

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        """Download the file, going on from what is there. Raises SourceFailed."""
        url = self._address(file)
        host = urlsplit(url).netloc
        if host in self._unreachable:
            raise SourceFailed(self._unreachable[host])
        failures = 0
        while (had := _size(to)) < file.bytes:
            try:
                self._download(url, file, to, progress)
            except (Broken, httpx.TransportError) as error:
                failures = 1 if _size(to) > had else failures + 1
                self._give_up(host, error, failures)
                self._pause(min(2.0**failures, 10.0) / 2)
        if had > file.bytes:
            to.unlink()
            raise SourceFailed(f"{host} has another file of this name: it is larger than the catalogue's")

    def _address(self, file: ModelFile) -> str:
        if not file.url:
            raise SourceFailed("there is no official address")
        if self._offline:
            raise SourceFailed("HF_HUB_OFFLINE is set")
        return file.url.replace(HUB, self._endpoint, 1) if file.url.startswith(HUB) else file.url

    def _give_up(self, host: str, error: Exception, failures: int) -> None:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol):
            self._unreachable[host] = f"{host} cannot be reached ({error})"
            raise SourceFailed(self._unreachable[host]) from None
        if failures >= _ATTEMPTS:
            raise SourceFailed(f"the connection to {host} broke {failures} times ({error})") from None

    def _download(self, url: str, file: ModelFile, to: Path, progress: Progress) -> None:
        """Make one request, for what is missing. Raises Broken, TransportError or SourceFailed."""
        at = _size(to)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={at}-"} if at else {})
        with self._client.stream("GET", url, headers=headers) as response:
            self._check(response, url)
            resumes = response.status_code == httpx.codes.PARTIAL_CONTENT and _begins(response) == at
            if at and not resumes:
                at = 0
            with to.open("ab" if resumes else "wb") as out:
                for block in response.iter_raw():  # as it comes: what breaks loses nothing
                    out.write(block)
                    at += len(block)
                    progress(at)
                    if at > file.bytes:
                        return
        if at < file.bytes:
            raise Broken(f"it ended after {at} of {file.bytes} bytes")

    def _check(self, response: httpx.Response, url: str) -> None:
        status = response.status_code
        if status in _TRY_AGAIN:
            raise Broken(f"HTTP {status}")
        if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise SourceFailed(f"{urlsplit(url).netloc} answers HTTP {status} for {url}")


def _client() -> httpx.Client:
    timeout = httpx.Timeout(_READ_S, connect=_CONNECT_S)
    return httpx.Client(timeout=timeout, follow_redirects=True, headers={"User-Agent": "nemotron-speech"})


def _begins(response: httpx.Response) -> int:
    """Return the offset at which a partial answer begins; -1 where it does not say."""
    _, _, span = response.headers.get("Content-Range", "").partition(" ")
    first = span.partition("-")[0]
    return int(first) if first.isdecimal() else -1


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
