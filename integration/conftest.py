"""What the integration tests share: clusters in temporary directories, and loads."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from cretonode.cli.cluster import NodeProcess
from cretonode.client import AsyncClient
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import TransactionId

SETTLE_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "network"


def transactions(count: int, size: int = 100) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


async def submit_final(node: NodeProcess, batch: Sequence[bytes]) -> list[TransactionId]:
    """Submit to a node and return once all are final there."""
    ids = [TransactionId(hash_of(transaction)) for transaction in batch]
    async with AsyncClient(node.files.url) as client:
        await client.submit(batch)
        with trio.fail_after(SETTLE_S):
            for id_ in ids:
                while (found := await client.transaction(id_, wait_ms=5_000)) is None or (
                    found.sequence is None
                ):
                    pass
    return ids


async def order_of(node: NodeProcess) -> list[TransactionId]:
    order: list[TransactionId] = []
    first = 1
    async with AsyncClient(node.files.url) as client:
        while (page := await client.finalized(first, 50)).sequences:
            for slot in page.sequences:
                order += slot.transactions
            first = page.next
    return order


async def wait_orders(nodes: Sequence[NodeProcess], expected: int) -> list[list[TransactionId]]:
    """Return every node's order once each has `expected` transactions."""
    with trio.fail_after(SETTLE_S):
        while True:
            orders = [await order_of(node) for node in nodes]
            if all(len(order) >= expected for order in orders):
                return orders
            await trio.sleep(0.1)
