"""A socket that is served while the test runs."""

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from cretonode.operator.server import (
    serve_operator,
)
from tests.operator.examples import HELLO, Watched
from tests.operator.serving import answer


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
async def path(tmp_path: Path, watched: Watched, nursery: trio.Nursery) -> AsyncGenerator[Path]:
    path = tmp_path / "operator.sock"
    await nursery.start(partial(serve_operator, path, answer, HELLO, watched))
    yield path
    nursery.cancel_scope.cancel()
