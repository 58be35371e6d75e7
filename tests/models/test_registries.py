"""pip and npm themselves, on an index that the test makes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.registries import NpmRegistry, PipRegistry
from tests.models.server import Server
from tests.models.small import part, some_bytes, tarball, wheel, wheel_name

pytestmark = pytest.mark.usefixtures("machine")

DATA = some_bytes(1_000_000)
WHEEL = wheel("some-data", {"d/m.bin": DATA})


@pytest.fixture
def index(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
    return server


def test_pip_s_index_gives_the_wheel_and_its_progress(index: Server, tmp_path: Path) -> None:
    index.wheels["some-data"] = {wheel_name("some-data"): WHEEL}
    told: list[int] = []
    archive = PipRegistry().obtain(part("some-data", WHEEL, "d/m.bin", DATA), tmp_path, told.append)
    assert archive.read_bytes() == WHEEL
    assert told
    assert told == sorted(told)
    assert max(told) <= len(DATA)


def test_pip_refuses_a_wheel_with_another_hash(index: Server, tmp_path: Path) -> None:
    index.wheels["some-data"] = {wheel_name("some-data"): wheel("some-data", {"d/m.bin": b"other"})}
    with pytest.raises(SourceFailed, match=r"some-data==1\.0: ERROR: .*(HASHES|hash)"):
        PipRegistry().obtain(part("some-data", WHEEL, "d/m.bin", DATA), tmp_path, lambda done: None)
    assert list(tmp_path.glob("*.whl")) == []


def test_an_index_that_is_named_goes_before_pip_s(server: Server, tmp_path: Path) -> None:
    server.wheels["some-data"] = {wheel_name("some-data"): WHEEL}
    registry = PipRegistry(index=f"{server.url}/simple")
    archive = registry.obtain(part("some-data", WHEEL, "d/m.bin", DATA), tmp_path, lambda done: None)
    assert archive.read_bytes() == WHEEL


def test_a_package_that_is_gone_is_said_as_pip_says_it(index: Server, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"some-data==1\.0: ERROR: "):
        PipRegistry().obtain(part("some-data", WHEEL, "d/m.bin", DATA), tmp_path, lambda done: None)


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm")
def test_npm_s_registry_gives_the_tarball(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = b'{"name": "voices", "version": "1.0.0"}'
    data = tarball({"package/package.json": manifest, "package/v.bin": DATA})
    server.tarballs["voices"] = data
    monkeypatch.setenv("npm_config_registry", f"{server.url}/npm/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    wanted = part("voices", data, "package/v.bin", DATA, registry="npm")
    archive = NpmRegistry().obtain(wanted, tmp_path, lambda done: None)
    assert archive.read_bytes() == data


def test_a_machine_without_npm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceFailed, match=r"npm, which has voices@1\.0, is not installed"):
        NpmRegistry().obtain(part("voices", b"", "v", b"", registry="npm"), tmp_path, lambda done: None)
