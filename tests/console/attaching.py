"""A console attached to a node of a script."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from console.options import Options
from console.sockets import Place
from cretonode.operator.protocol_deltas import delta_of
from tests.console import examples
from tests.console.pilots import Played, opened
from tests.console.scripted_node import ScriptedNode, listening


def attached(
    tmp_path: Path, test: Callable[[Played, ScriptedNode], Awaitable[None]], **options: object
) -> None:
    """Run a test on the console attached to a scripted node."""
    path = tmp_path / "operator.sock"

    async def play() -> None:
        node = ScriptedNode()
        async with (
            listening(path, node),
            opened(Options(places=(Place(path),), directory=tmp_path, **options)) as played,  # type: ignore
        ):
            await played.until_text(" LIVE ")
            await test(played, node)

    asyncio.run(play())


def at(second: int) -> examples.Delta:
    return delta_of(examples.changes_at(second), at_ms=examples.at(second), fresh=False)
