"""Files from their official addresses, over connections that break."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from nemotron_speech.models.catalogue import ModelFile
from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.hub import HUB, HubSource
from tests.models.server import Served, Server
from tests.models.small import model_file, some_bytes

DATA = some_bytes(300_000)


def a_file(server: Server, served: Served, data: bytes = DATA) -> ModelFile:
    server.files["model.bin"] = served
    return model_file(data, url=f"{server.url}/model.bin")


def fetch(file: ModelFile, to: Path, source: HubSource | None = None) -> list[int]:
    """Fetch without waiting between attempts; return the progress that was told."""
    told: list[int] = []
    (source or HubSource(pause=lambda seconds: None)).fetch(file, to, told.append)
    return told


def test_a_file_is_written_and_its_progress_told(server: Server, tmp_path: Path) -> None:
    told = fetch(a_file(server, Served(DATA)), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert told == sorted(told)
    assert told[-1] == len(DATA)


def test_a_beginning_is_gone_on_from(server: Server, tmp_path: Path) -> None:
    served = Served(DATA)
    (tmp_path / "part").write_bytes(DATA[:200_000])
    fetch(a_file(server, served), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert served.asked == ["bytes=200000-"]


def test_a_server_without_ranges_begins_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"?" * 200_000)
    fetch(a_file(server, Served(DATA, ranges=False)), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_connection_that_breaks_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    served = Served(DATA, break_after=[70_000, 140_000, 210_000])
    fetch(a_file(server, served), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    begins = [int(asked[len("bytes=") : -1]) if asked else 0 for asked in served.asked]
    assert begins == sorted(begins)
    assert len(set(begins)) == 4


def test_a_connection_that_brings_nothing_new_is_given_up(server: Server, tmp_path: Path) -> None:
    served = Served(DATA, break_after=[0] * 9)
    with pytest.raises(SourceFailed, match="broke 5 times"):
        fetch(a_file(server, served), tmp_path / "part")
    assert len(served.asked) == 5


def test_a_connection_that_stalls_is_resumed(server: Server, tmp_path: Path) -> None:
    served = Served(DATA, stall=True)
    impatient = HubSource(client=httpx.Client(timeout=0.3), pause=lambda seconds: None)
    fetch(a_file(server, served), tmp_path / "part", impatient)
    assert (tmp_path / "part").read_bytes() == DATA
    assert len(served.asked) == 2


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    waits: list[float] = []
    file = a_file(server, Served(DATA, statuses=[503, 429]))
    fetch(file, tmp_path / "part", HubSource(pause=waits.append))
    assert (tmp_path / "part").read_bytes() == DATA
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_file_that_is_not_given_is_not_asked_for_again(server: Server, tmp_path: Path, status: int) -> None:
    served = Served(DATA, statuses=[status] * 9)
    with pytest.raises(SourceFailed, match=f"HTTP {status}"):
        fetch(a_file(server, served), tmp_path / "part")
    assert len(served.asked) == 1


def test_a_larger_file_is_not_read_to_its_end(server: Server, tmp_path: Path) -> None:
    file = a_file(server, Served(DATA), DATA[:1000])
    with pytest.raises(SourceFailed, match="larger"):
        fetch(file, tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_a_redirection_is_followed(server: Server, tmp_path: Path) -> None:
    server.files["elsewhere"] = Served(DATA)
    fetch(a_file(server, Served(b"", redirect="/elsewhere")), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_host_that_cannot_be_reached_is_asked_once(tmp_path: Path) -> None:
    attempts: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        attempts.append(request)
        raise httpx.ConnectError("no route")

    source = HubSource(client=httpx.Client(transport=httpx.MockTransport(refuse)), pause=lambda seconds: None)
    for _ in range(2):
        with pytest.raises(SourceFailed, match=r"example\.org cannot be reached \(no route\)"):
            fetch(model_file(DATA, url="https://example.org/m"), tmp_path / "part", source)
    assert len(attempts) == 1


def test_a_mirror_takes_the_place_of_the_hub(server: Server, tmp_path: Path) -> None:
    server.files["some/model/resolve/main/model.bin"] = Served(DATA)
    file = model_file(DATA, url=f"{HUB}/some/model/resolve/main/model.bin")
    fetch(file, tmp_path / "part", HubSource(endpoint=f"{server.url}/"))
    assert (tmp_path / "part").read_bytes() == DATA


def test_the_hub_is_left_alone_when_that_is_wished(server: Server, tmp_path: Path) -> None:
    served = Served(DATA)
    with pytest.raises(SourceFailed, match="HF_HUB_OFFLINE"):
        fetch(a_file(server, served), tmp_path / "part", HubSource(offline=True))
    assert served.asked == []


def test_the_environment_s_proxy_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A request to a proxy names the whole address; the server takes its path.
    server.files["model.bin"] = Served(DATA)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    fetch(model_file(DATA, url="http://models.invalid/model.bin"), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
