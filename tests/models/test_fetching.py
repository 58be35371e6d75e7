"""A model from the first source that has the right bytes; half a model is never used."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nemotron_speech.models.catalogue import ModelFile
from nemotron_speech.models.errors import DiskFull, ModelUnavailable, SourceFailed
from nemotron_speech.models.fetching import Nobody, fetch
from nemotron_speech.models.hub import HubSource
from nemotron_speech.models.sources import Progress
from nemotron_speech.models.store import ModelStore
from tests.models.server import Served, Server
from tests.models.small import entry, here, model_file, some_bytes

ONE, TWO = some_bytes(200_000, 1), some_bytes(1000, 2)
FILES = (model_file(ONE, "model.bin"), model_file(TWO, "config/words.txt"))
MODEL = entry(*FILES)


class Gives:
    """Source of given bytes by file; what it lacks it says."""

    def __init__(self, name: str, *contents: bytes | Exception) -> None:
        self.name = name
        self.contents = dict(zip((file.path for file in FILES), contents, strict=False))
        self.asked: list[str] = []

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        self.asked.append(file.path)
        match self.contents.get(file.path, SourceFailed("it is gone")):
            case bytes() as data:
                to.write_bytes(data)
            case Exception() as error:
                raise error


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_model_appears_whole_and_alone(store: ModelStore) -> None:
    folder = fetch(MODEL, store, [Gives("hub", ONE, TWO)])
    assert (folder / "model.bin").read_bytes() == ONE
    assert (folder / "config" / "words.txt").read_bytes() == TWO
    assert {path.name for path in store.folder.iterdir()} == {"small", ".small.lock"}
    assert store.verify(MODEL) == []


def test_a_model_that_is_here_is_not_asked_for(store: ModelStore) -> None:
    here(store.folder, MODEL, ONE, TWO)
    hub = Gives("hub")
    assert fetch(MODEL, store, [hub]) == store.path(MODEL)
    assert hub.asked == []


def test_the_next_source_is_asked_for_what_the_first_one_lacks(store: ModelStore) -> None:
    hub, registry = Gives("hub", ONE), Gives("registry", ONE, TWO)
    fetch(MODEL, store, [hub, registry])
    assert registry.asked == ["config/words.txt"]


def test_wrong_bytes_are_dropped_and_the_next_source_asked(store: ModelStore) -> None:
    fetch(MODEL, store, [Gives("hub", b"?" * len(ONE), TWO), Gives("registry", ONE)])
    assert store.verify(MODEL) == []


def test_without_any_source_each_reason_is_said_and_what_to_type(store: ModelStore) -> None:
    with pytest.raises(ModelUnavailable) as failed:
        fetch(MODEL, store, [Gives("hub", b"?" * len(ONE)), Gives("registry")])
    said = str(failed.value)
    assert re.search(r"hub: its model\.bin is another file \(SHA-256 [0-9a-f]{12}…\)", said)
    assert "registry: it is gone" in said
    assert "nemotron models pull small --from" in said
    assert not store.has(MODEL)


def test_a_beginning_that_was_another_file_s_is_dropped_and_the_file_fetched_anew(
    store: ModelStore, server: Server
) -> None:
    served = server.files["m"] = Served(ONE)
    file = replace_url(FILES[0], f"{server.url}/m")
    beginning = store.unfinished(MODEL) / "model.bin.partial"
    beginning.parent.mkdir(parents=True)
    beginning.write_bytes(b"?" * 1000)
    folder = fetch(entry(file), store, [HubSource()])
    assert (folder / "model.bin").read_bytes() == ONE
    assert served.asked == ["bytes=1000-", ""]


def test_files_that_an_interrupted_fetch_has_finished_are_kept(store: ModelStore) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(MODEL, store, [_Interrupts("hub", ONE)])
    assert not store.has(MODEL)
    hub = Gives("hub", ONE, TWO)
    fetch(MODEL, store, [hub])
    assert hub.asked == ["config/words.txt"]


class _Interrupts(Gives):
    """Source during whose second file the user presses Ctrl-C."""

    def fetch(self, file: ModelFile, to: Path, progress: Progress) -> None:
        if file.path not in self.contents:
            to.write_bytes(b"half")
            raise KeyboardInterrupt
        super().fetch(file, to, progress)


def test_the_right_files_of_a_damaged_model_are_kept(store: ModelStore) -> None:
    here(store.folder, MODEL, ONE, b"short")
    hub = Gives("hub", ONE, TWO)
    fetch(MODEL, store, [hub])
    assert hub.asked == ["config/words.txt"]
    assert store.verify(MODEL) == []


def test_a_disk_without_room_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    hub = Gives("hub", ONE, TWO)
    full = ModelStore(tmp_path / "models", free=lambda path: 1 << 20)
    with pytest.raises(DiskFull, match=r"no room for small.*NEMOTRON_MODELS_DIR"):
        fetch(MODEL, full, [hub])
    assert hub.asked == []


def test_a_disk_that_fills_up_keeps_what_is_here(store: ModelStore) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskFull, match="is kept"):
        fetch(MODEL, store, [Gives("hub", ONE, full)])
    again = Gives("hub", ONE, TWO)
    fetch(MODEL, store, [again])
    assert again.asked == ["config/words.txt"]


def test_another_failure_of_the_disk_is_not_taken_for_a_full_one(store: ModelStore) -> None:
    with pytest.raises(PermissionError):
        fetch(MODEL, store, [Gives("hub", PermissionError(errno.EACCES, "no"))])


def test_a_model_that_was_removed_is_gone_with_what_was_unfinished(store: ModelStore) -> None:
    here(store.folder, MODEL, ONE, TWO)
    (store.unfinished(MODEL)).mkdir()
    (store.unfinished(MODEL) / "x.partial").write_bytes(b"1234")
    assert store.remove(MODEL) == len(ONE) + len(TWO) + 4
    assert not store.has(MODEL)
    assert store.remove(MODEL) == 0


def test_a_changed_file_is_found_by_its_hash(store: ModelStore) -> None:
    here(store.folder, MODEL, ONE, b"?" * len(TWO))
    (fault,) = store.verify(MODEL)
    assert (fault.path.name, fault.what) == ("words.txt", "is not the file of the catalogue")
    (store.path(MODEL) / "model.bin").unlink()
    assert next(fault.what for fault in store.verify(MODEL)) == "is missing"


# ------------------------------------------------------------------------------- several processes

FETCH = """
import sys
from pathlib import Path
from nemotron_speech.models.fetching import Nobody, fetch
from nemotron_speech.models.hub import HubSource
from nemotron_speech.models.store import ModelStore
from tests.models.small import entry, model_file, some_bytes

class Tells(Nobody):
    def waiting(self, entry):
        print("waits", flush=True)
    def progress(self, file, done):
        print("fetches", flush=True)

model = entry(model_file(some_bytes(200_000, 1), url=sys.argv[2]))
print(fetch(model, ModelStore(Path(sys.argv[1])), [HubSource()], Tells()), flush=True)
"""


def start(store: ModelStore, url: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(store.folder), url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def held(server: Server) -> Served:
    server.files["m"] = Served(ONE, hold=threading.Event())
    return server.files["m"]


def test_of_two_processes_one_fetches_and_the_other_finds_it(
    store: ModelStore, server: Server, held: Served
) -> None:
    with start(store, f"{server.url}/m") as first, start_after(first, store, server) as second:
        assert line(second) == "waits"
        assert held.hold is not None
        held.hold.set()
        assert first.wait(60) == 0
        assert line(second) == str(store.folder / "small")
        assert second.wait(60) == 0
    assert held.asked == [""]


def test_a_process_that_is_killed_leaves_its_beginning_to_the_next(
    store: ModelStore, server: Server, held: Served
) -> None:
    with start(store, f"{server.url}/m") as first, start_after(first, store, server) as second:
        assert line(second) == "waits"
        first.kill()
        assert held.hold is not None
        held.hold.set()
        assert line(second) == "fetches"
        assert second.wait(60) == 0
    assert held.asked[0] == ""
    assert re.fullmatch(r"bytes=\d+-", held.asked[1])
    assert (store.folder / "small" / "model.bin").read_bytes() == ONE


def start_after(first: subprocess.Popen[str], store: ModelStore, server: Server) -> subprocess.Popen[str]:
    """Start another process once the first one fetches."""
    assert line(first) == "fetches"
    return start(store, f"{server.url}/m")


def replace_url(file: ModelFile, url: str) -> ModelFile:
    return model_file(ONE, file.path, url=url)


def test_a_fetch_tells_its_watcher_of_sources_that_failed(store: ModelStore) -> None:
    failures: list[str] = []

    class Notes(Nobody):
        def failed(self, source: str, reason: str) -> None:
            failures.append(f"{source}: {reason}")

    fetch(MODEL, store, [Gives("hub"), Gives("registry", ONE, TWO)], Notes())
    assert failures == ["hub: it is gone"] * 2
