from collections.abc import Iterator

import pytest

from tests.contract.engines import unload_all


@pytest.fixture(scope="package", autouse=True)
def _unloaded_at_the_end() -> Iterator[None]:
    yield
    unload_all()
