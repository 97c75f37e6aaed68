"""Bans as the node carries them out and keeps them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from cretonode.core.evidence import evidence_of
from cretonode.core.messages import Evidence
from cretonode.core.reputation import Violation
from cretonode.errors import ClientError, CorruptionError
from cretonode.identifiers import NodeId, ValidatorIndex
from cretonode.limits import EVIDENCE_PER_AUTHOR_MAX, VIOLATIONS_PER_AUTHOR_MAX
from cretonode.node.bans import Bans, reputation_of
from cretonode.node.clock import Clock
from cretonode.node.judgement_views import JudgementViews
from cretonode.storage.backend import DatabaseOptions
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.schema import Family
from cretonode.wire.judgements import read_judgements
from tests.core.replicas import plain
from tests.node.test_verification import COMMITTEE

ME, ONE, TWO, THREE = map(ValidatorIndex, range(4))
IDS = tuple(NodeId(bytes([i]) * 32) for i in range(4))
BAN_MS = 60_000


@dataclass
class Doors:
    """Satisfies `node.bans.Doors`."""

    banned: dict[NodeId, str] = field(default_factory=dict)
    pardoned: trio.Event = field(default_factory=trio.Event)

    def ban(self, peer: NodeId, reason: str) -> None:
        self.banned[peer] = reason

    def pardon(self, peer: NodeId) -> None:
        del self.banned[peer]
        self.pardoned.set()


@dataclass
class Rows:
    """A database's family `evidence` on a real disk."""

    backend: RocksBackend

    def put_judgements(self, rows: Mapping[bytes, bytes]) -> None:
        batch = self.backend.batch()
        for name, data in rows.items():
            batch.put(Family.EVIDENCE, name, data)
        self.backend.write(batch)

    def all(self) -> list[tuple[bytes, bytes]]:
        return list(self.backend.scan(Family.EVIDENCE))


@dataclass
class SetClock(Clock):
    """A clock that the test moves."""

    ms: int = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms


def bans(rows: Rows, clock: Clock) -> tuple[Bans, Doors]:
    """Return bans as a node makes them when it starts."""
    doors = Doors()
    made = Bans(
        reputation=reputation_of(COMMITTEE, ME, window_ms=600_000, ban_ms=BAN_MS),
        node_ids=IDS,
        names=("zero", "one", "two", "three"),
        doors=doors,
        store=rows,
        clock=clock,
        writer=trio.CapacityLimiter(1),
    )
    made.restore(read_judgements(rows.all()))
    return made, doors


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(RocksBackend(tmp_path / "db", DatabaseOptions(cache_size_mb=8, write_buffer_mb=1)))


def evidence(index: int = 1, author: int = 1) -> Evidence:
    found = evidence_of(plain(author, index), plain(author, index, transactions=(b"x",)))
    assert found is not None
    return found


async def test_evidence_bans_and_the_ban_survives_a_restart(rows: Rows) -> None:
    """SPEC B2."""
    clock = SetClock()
    mine, doors = bans(rows, clock)
    mine.accuse(evidence())
    assert doors.banned == {IDS[ONE]: "equivocation: two vertices with index 1"}
    await mine._flush()
    clock.ms += BAN_MS // 2
    again, doors = bans(rows, clock)
    assert doors.banned == {IDS[ONE]: "equivocation: two vertices with index 1"}
    assert again.evidence == {ONE: [evidence()]}
    assert [noted.violation for noted in again.violations()] == [Violation.EQUIVOCATION]
    assert again.score(ONE) < 0.3
    assert again.reputation.counts.total() == 0, "counted since the start"


async def test_a_ban_that_ran_out_while_the_node_was_down_is_over(rows: Rows) -> None:
    clock = SetClock()
    mine, _ = bans(rows, clock)
    mine.accuse(evidence())
    await mine._flush()
    clock.ms += BAN_MS
    again, doors = bans(rows, clock)
    assert doors.banned == {}
    again._expire()
    assert again.score(ONE) == 1.0


async def test_a_ban_runs_out_by_itself(rows: Rows) -> None:
    clock = SetClock()
    mine, doors = bans(rows, clock)
    mine.accuse(evidence())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.run)
        await trio.testing.wait_all_tasks_blocked()
        assert doors.banned
        clock.ms += BAN_MS
        with trio.fail_after(20):
            await doors.pardoned.wait()
        assert not doors.banned
        nursery.cancel_scope.cancel()


async def test_rows_are_written_when_the_node_stops(rows: Rows) -> None:
    mine, _ = bans(rows, SetClock())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.run)
        await trio.testing.wait_all_tasks_blocked()
        mine.accuse(evidence())
        nursery.cancel_scope.cancel()
    names = {name.partition(b"/")[0] for name, _ in rows.all()}
    assert names == {b"ban", b"evidence", b"violation"}


async def test_the_ban_guard_lists_what_it_does_not_carry_out(rows: Rows) -> None:
    clock = SetClock()
    mine, doors = bans(rows, clock)
    mine.accuse(evidence(author=TWO))
    clock.ms += 1
    mine.accuse(evidence(author=ONE))
    assert list(doors.banned) == [IDS[TWO]]
    assert [(s.ban.validator, s.in_force) for s in mine.standings()] == [
        (TWO, True),
        (ONE, False),
    ]
    with pytest.raises(ClientError, match="at most 1 can be banned"):
        mine.add(THREE, reason="x", lasts_ms=None, dry_run=False)
    mine.remove(TWO, dry_run=False)
    assert list(doors.banned) == [IDS[ONE]], "the oldest warning takes the room"


async def test_an_operators_ban_survives_and_so_does_its_pardon(rows: Rows) -> None:
    clock = SetClock()
    mine, _ = bans(rows, clock)
    assert "would be" in mine.add(ONE, reason="leaked key", lasts_ms=None, dry_run=True)
    assert mine.standings() == ()
    mine.add(ONE, reason="leaked key", lasts_ms=None, dry_run=False)
    await mine._flush()
    mine, doors = bans(rows, clock)
    assert doors.banned == {IDS[ONE]: "leaked key"}
    assert "could connect" in mine.remove(ONE, dry_run=True)
    assert doors.banned
    mine.remove(ONE, dry_run=False)
    await mine._flush()
    mine, doors = bans(rows, clock)
    assert doors.banned == {}
    with pytest.raises(ClientError, match="one is not banned"):
        mine.remove(ONE, dry_run=False)


async def test_faults_of_the_channel_add_up_over_a_restart(rows: Rows) -> None:
    clock = SetClock()
    mine, doors = bans(rows, clock)
    mine.note(ONE, Violation.MALFORMED, "no array")
    mine.note(ONE, Violation.MALFORMED, "no array\n\x1b[2J")
    await mine._flush()
    assert doors.banned == {}
    mine, doors = bans(rows, clock)
    assert [noted.detail for noted in mine.violations()] == ["no array", r"no array\n\x1b[2J"]
    mine.note(ONE, Violation.MALFORMED, "again")
    assert doors.banned


async def test_rows_are_bounded_whatever_a_peer_does(rows: Rows) -> None:
    clock = SetClock()
    mine, _ = bans(rows, clock)
    for i in range(1, 200):
        clock.ms += 1
        mine.note(ONE, Violation.TIMEOUT, f"{i}")
        mine.accuse(evidence(i))
    await mine._flush()
    names = [name.partition(b"/")[0] for name, _ in rows.all()]
    assert names.count(b"violation") == VIOLATIONS_PER_AUTHOR_MAX
    assert names.count(b"evidence") == EVIDENCE_PER_AUTHOR_MAX
    assert names.count(b"ban") == 1
    kept, _ = bans(rows, clock)
    assert kept.violations() == mine.violations(), "the newest, across a restart"
    clock.ms += 1
    kept.note(ONE, Violation.TIMEOUT, "newest")
    await kept._flush()
    last, _ = bans(rows, clock)
    assert last.violations()[0].detail == "newest"
    assert last.violations() == kept.violations()


async def test_a_damaged_row_is_named(rows: Rows) -> None:
    rows.put_judgements({b"ban/\x00\x01": b"\x80"})
    with pytest.raises(CorruptionError, match=r"stored judgement b'ban/"):
        bans(rows, SetClock())


async def test_the_own_key_elsewhere_bans_nobody(rows: Rows) -> None:
    mine, doors = bans(rows, SetClock())
    mine.accuse(evidence(author=ME))
    assert doors.banned == {}
    assert len(mine.evidence[ME]) == 1


def test_a_validator_is_named_by_its_name_or_its_very_index(rows: Rows) -> None:
    """Who errs by a digit must not ban another one."""
    judged = JudgementViews(bans(rows, SetClock())[0])
    assert judged.index_of("two") == judged.index_of("2") == TWO
    for wrong in ("4", "00012", "02", "10001", "-1", "2 ", "", "Two", "\u0662"):
        with pytest.raises(ClientError, match=r"there is no validator .*zero, one, two, three"):
            judged.index_of(wrong)
