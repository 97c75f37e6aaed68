"""On the disk before on the wire: what a turn says is durable, and so is what it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import trio

from cretonode.core.effects import Effect, Persist, Say, Store
from cretonode.core.messages import Prepare, VertexMessage
from cretonode.core.records import Accepted, Promises
from cretonode.crypto.signatures import CryptoMode, SecretKey, Signer
from cretonode.dag.payload import EMPTY_ROOT
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.node.performer import Performer
from cretonode.storage import journal, store
from tests.simulation.scenario import committee_of

ANCHOR = VertexHash(bytes(32))
VERTEX = VertexMessage(
    vertex=Vertex(
        author=ValidatorIndex(1),
        index=AuthorIndex(1),
        height=Height(1),
        sequence=SequenceNumber(0),
        parents=(ANCHOR,),
        timestamp_ms=1,
        payload_root=EMPTY_ROOT,
        payload_bytes=0,
        transaction_count=0,
    ),
    payload=b"",
    transaction_ids=b"",
    signature=b"signed",
)


@dataclass
class RecordingDisk:
    """Journal and database in one: writes down what was asked of it, in order."""

    calls: list[str] = field(default_factory=list)
    marker: None = None
    wants_rotation: bool = False

    def append_synced(self, records: Sequence[bytes]) -> None:
        self.calls.append(f"journal {len(records)}")

    def apply(self, rows: Sequence[object], *, journal: object) -> None:
        self.calls.append(f"apply {len(rows)}")

    def sync(self) -> None:
        self.calls.append("sync")


def make_performer(disk: RecordingDisk) -> Performer:
    return Performer(
        committee=committee_of(4),
        signer=Signer(CryptoMode.HYBRID, SecretKey(bytes(64))),
        journal=cast("journal.Journal", disk),
        store=cast("store.Store", disk),
        promises=Promises(),
        limiter=trio.CapacityLimiter(1),
    )


def vote(sequence: int) -> list[Effect]:
    number = SequenceNumber(sequence)
    prepare = Prepare(view=View(0), sequence=number, anchor=ANCHOR, author=ValidatorIndex(0))
    return [Persist(Accepted(View(0), number, ANCHOR)), Say(prepare)]


async def test_the_first_vote_after_a_start_syncs_what_an_earlier_process_left() -> None:
    """SPEC C8. A killed process leaves writes in the page cache: readable, and not durable."""
    disk = RecordingDisk()
    await make_performer(disk).make_durable(vote(1))
    assert disk.calls == ["journal 1", "sync"]


async def test_a_vote_syncs_vertices_that_were_stored_in_turns_before_it() -> None:
    """DESIGN 2: an anchor is accepted only with its ancestry on synced disk."""
    disk = RecordingDisk()
    performer = make_performer(disk)
    await performer.make_durable(vote(1))
    await performer.make_durable([Store(VERTEX)])
    await performer.make_durable(vote(2))
    assert disk.calls[2:] == ["apply 1", "journal 1", "sync"]


async def test_a_vote_that_rests_on_nothing_new_syncs_the_journal_alone() -> None:
    disk = RecordingDisk()
    performer = make_performer(disk)
    await performer.make_durable(vote(1))
    await performer.make_durable(vote(2))
    assert disk.calls[2:] == ["journal 1"]


async def test_what_is_said_comes_back_signed() -> None:
    effects = await make_performer(RecordingDisk()).make_durable(vote(1))
    said = [effect.statement for effect in effects if isinstance(effect, Say)]
    assert [statement.signature != b"" for statement in said] == [True]
