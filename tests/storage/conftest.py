"""Databases for the tests: small, fresh, closed afterwards."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cretonode.core.committee import Parameters
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.store import Store, open_store
from tests.storage.chain import IDENTITY, PARAMETERS
from tests.storage.small import small_options

OpenStore = Callable[..., Store]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database: a copy is made at once, a new one with a sync for each family."""
    path = tmp_path_factory.mktemp("storage") / "template"
    backend = RocksBackend(path, small_options())
    open_store(backend, IDENTITY, PARAMETERS)
    backend.close()
    return path


@pytest.fixture
def opened(tmp_path: Path, template: Path) -> Iterator[OpenStore]:
    """Open stores by name; whatever is open at the end is closed."""
    stores: list[Store] = []

    def open_one(name: str = "db", parameters: Parameters = PARAMETERS) -> Store:
        if not (tmp_path / name).exists():
            shutil.copytree(template, tmp_path / name)
        backend = RocksBackend(tmp_path / name, small_options())
        try:
            stores.append(open_store(backend, IDENTITY, parameters))
        except BaseException:
            backend.close()
            raise
        return stores[-1]

    yield open_one
    for store in stores:
        if not store.is_closed:
            store.close()


@pytest.fixture
def store(opened: OpenStore) -> Store:
    return opened()
