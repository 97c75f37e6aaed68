"""A disk made of the node's own storage: vote journal and database, on real files, that fail.

While a node runs its journal is on a disk in memory that forgets, tears, fills up and fails, and
its database is RocksDB. A crash leaves on the file system what a power cut or a kill may leave, in
any choice of sectors of what was not synced; the start is the node's own: open, recover, begin
again as an amnesiac. Beside it runs the model, `Disk`, as an oracle: what storage gives back must
be what the model says of the same prefix of writes, and no shorter than what was synced.
"""

import random
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from cretonode.core.committee import Committee
from cretonode.core.effects import Effect, Finalize, Persist, Say, Stable, Store
from cretonode.core.messages import SlotHeaders, VertexMessage
from cretonode.core.records import AmnesiaBegun, Promises, Record, fold
from cretonode.core.state import Restored
from cretonode.crypto.hashing import hash_of
from cretonode.dag.graph import genesis_vertex
from cretonode.errors import CorruptionError
from cretonode.identifiers import NodeId, SequenceNumber, TransactionId, ValidatorIndex, VertexHash
from cretonode.storage import store as storage
from cretonode.storage.amnesia import begin_again
from cretonode.storage.datadir import JOURNAL_DIRECTORY, create_data_directory
from cretonode.storage.errors import (
    JournalDamaged,
    JournalMissing,
    JournalOutdated,
    JournalStopped,
)
from cretonode.storage.identity import Identity
from cretonode.storage.journal import Journal, Opened, open_journal
from cretonode.storage.schema import Family
from cretonode.storage.verify import verify_database
from cretonode.wire.records import decode_record, encode_record
from tests.simulation.disk import Disk, DiskFull, Tables
from tests.simulation.oracles import Violation
from tests.simulation.power import (
    JournalDisk,
    WatchedBackend,
    copy_unchanging,
    keep,
    lose_unsynced,
)
from tests.simulation.signatures import flaw_of
from tests.storage.disks import PowerCut, no_space

ROTATE_AT_BYTES: Final = 64 * 1024  # sooner than a node does, so that a short run has rotations
BYTES_TAKEN: Final = 100  # by the last write that a full disk takes a part of


class RealDisk(Disk):
    """The storage of one node, and its model. Bound to a directory of its own."""

    def __init__(self, committee: Committee, me: ValidatorIndex, path: Path, seed: int) -> None:
        """Make the directory, as `init` does. `seed`: for what is not drawn by the world."""
        super().__init__(committee)
        self.identity = Identity(
            committee.chain_id, committee.genesis, NodeId(hash_of(path.name.encode()))
        )
        self.incarnation = committee.incarnations[me]
        self.directory = create_data_directory(path, self.identity, self.incarnation)
        self.acted: Counter[str] = Counter()  # faults that did something
        self.damaged = False  # a byte was flipped, or files were taken away, since the last start
        self.lost: list[VertexMessage] = []  # of what was synced, by damage
        self._rng = random.Random(seed)
        self._journal_path = path / JOURNAL_DIRECTORY
        self._files = JournalDisk()
        self._backend: WatchedBackend | None = None
        self._store: storage.Store | None = None
        self._journal: Journal | None = None
        self._promises = Promises()
        self._unsynced = True
        self._staged: list[storage.StorageEffect] | None = None
        self._wants_room = False
        self._records_at: dict[int, int] = {0: 0}  # groups in the journal -> records so far
        self._turns: list[tuple[tuple[int, ...], int]] = [((0, 0, 0, 0), 0)]

    @property
    def store(self) -> storage.Store:
        """The open database."""
        assert self._store is not None, "the node is down"
        return self._store

    # --- what a turn writes: as node.performer does

    def write(self, effects: Iterable[Effect]) -> bool:
        """Write without syncing; True when a sync is owed. Raises: DiskFull."""
        effects = list(effects)
        records = [effect.record for effect in effects if isinstance(effect, Persist)]
        rows: list[storage.StorageEffect] = []
        for effect in effects:
            match effect:
                case Say(VertexMessage() as message):
                    rows.append(Store(message))
                case Store() | Finalize() | Stable():
                    rows.append(effect)
                case _:
                    pass
        if records:
            self._append(records)
        room, self.room = self.room, None  # counted by `_append`
        super().write(effects)
        self.room = room
        self._turns.append((self._counts(), len(self.operations)))
        self._unsynced |= bool(rows)
        says = any(isinstance(effect, Persist | Say) for effect in effects)
        if records or (says and self._unsynced):
            self._staged = rows
            return True
        self._apply(rows)
        return False

    def sync(self) -> None:
        """Return when what was written is durable. Raises: DiskFull, PowerCut."""
        rows, self._staged = self._staged, None
        self._files.settle()
        if rows is None:
            return
        if rows:
            self.store.apply(rows, journal=self._open.marker)
        self._sync_database()
        super().sync()
        self._on_stable(rows)

    def delete_retake(self, vertex: VertexHash) -> None:
        """As the store does: unsynced."""
        super().delete_retake(vertex)
        self._turns.append((self._counts(), len(self.operations)))
        self.store.delete_retake(vertex)

    def arm(self, fault: Exception | int, after: int) -> None:
        """Let an operation of the journal's disk fail."""
        self._files.fail_next(fault, after=after)

    def disarm(self) -> None:
        """Let nothing fail any more."""
        self._files.fault_at = None

    # --- what a node reads while it runs

    def executed_since(
        self, transactions: Sequence[TransactionId], since: SequenceNumber
    ) -> set[TransactionId]:
        return self.store.executed_since(transactions, since)

    def headers(self, first: SequenceNumber, count: int) -> SlotHeaders:
        return self.store.serve_headers(first, count)

    # --- the end of a life

    def crash(self, rng: random.Random) -> None:
        """Stop as a killed process does, or as a power cut does, anywhere inside a turn."""
        is_power_cut = rng.random() < 0.6
        self._stop_inside(rng.randrange(3))
        seed = rng.getrandbits(32)
        if is_power_cut:
            keep(self._files.after_power_cut(seed), self._journal_path)
            self.acted["power cuts"] += 1
        else:
            self._files.survive()
            keep(self._files, self._journal_path)
            self.acted["kills"] += 1
        self._leave_database(random.Random(seed), is_power_cut=is_power_cut)
        self._journal = None
        self._files = JournalDisk()

    def close(self) -> None:
        """Let go of the files."""
        if self._store is not None:
            self._store.close()
            self._store = self._backend = None

    def problems(self) -> list[str]:
        """Return what `cretonode db verify` finds, signatures included."""
        self.store.index_transactions()
        found = verify_database(
            self.store,
            genesis=self.committee.genesis,
            parameters=self.committee.parameters,
            is_signed=lambda message: (
                flaw_of(self.committee, message, checks_payload=False) is None
            ),
        )
        return [str(problem) for problem in found]

    def _stop_inside(self, stage: int) -> None:
        """Do so much of the turn that was under way: nothing, the journal, the database too."""
        rows, self._staged = self._staged, None
        if rows is None or stage == 0 or self._open.stopped is not None:
            return
        self._files.settle()
        if rows:
            self.store.apply(rows, journal=self._open.marker)
        if stage == 2:
            self._sync_database()

    def _leave_database(self, rng: random.Random, *, is_power_cut: bool) -> None:
        """Leave the files as the next start may find them, and not as closing makes them."""
        path = self.directory.database_path
        after = path.with_name("db.after")
        assert self._backend is not None, "the node is down"
        copy_unchanging(path, after)
        if is_power_cut:
            self.acted[lose_unsynced(after, self._backend.synced_bytes, rng)] += 1
        self._backend.close()
        self._store = self._backend = None
        shutil.rmtree(path)
        after.rename(path)

    # --- damage while the node is down

    def flip_journal(self, rng: random.Random) -> None:
        """Flip a bit of a file of the journal, most often of what was written last."""
        path = rng.choice(sorted(self._journal_path.iterdir()))
        data = bytearray(path.read_bytes())
        used = len(data.rstrip(b"\0"))
        data[rng.randrange(max(1, used))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        self.damaged = True
        self.acted["journal: a flipped bit"] += 1

    def flip_database(self, rng: random.Random) -> None:
        """Flip a bit in the first half of a file of rows: a log, a table or large values."""
        path = self.directory.database_path
        files = [f for kind in ("log", "sst", "blob") for f in sorted(path.glob(f"*.{kind}"))]
        files = [f for f in files if f.stat().st_size]
        if files:
            file = rng.choice(files)
            data = bytearray(file.read_bytes())
            data[rng.randrange((len(data) + 1) // 2)] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            self.damaged = True
            self.acted[f"database: a flipped bit in a {file.suffix[1:]} file"] += 1

    def lose_journal(self, nonce: bytes) -> None:
        """Take the journal away."""
        shutil.rmtree(self._journal_path)
        self.damaged = True
        self.acted["journal: gone"] += 1
        self._rng = random.Random(nonce)

    def lose_database(self) -> None:
        """Take the database away."""
        shutil.rmtree(self.directory.database_path, ignore_errors=True)
        super().lose_database()
        self._turns = [((0, 0, 0, 0), 0)]
        self.acted["database: gone"] += 1

    def copy_journal(self) -> tuple[int, dict[str, bytes]]:
        """Return how many groups the journal has, and its files, as they are on the disk now."""
        groups = self._open.marker.groups
        return groups, {name: bytes(file.durable) for name, file in self._files.files.items()}

    def put_back(self, copy: tuple[int, dict[str, bytes]]) -> bool:
        """Put an old copy of the journal back, if the database can know that it is old."""
        groups, files = copy
        backend = WatchedBackend(self.directory.database_path)
        marker = storage.open_store(
            backend, self.identity, self.committee.parameters
        ).journal_marker()
        backend.close()
        if marker is None or marker.groups <= groups:
            return False
        shutil.rmtree(self._journal_path)
        self._journal_path.mkdir(mode=0o700)
        for name, data in files.items():
            (self._journal_path / name).write_bytes(data)
        self.damaged = True
        self.acted["journal: an old copy"] += 1
        return True

    # --- the start

    def restore(self) -> Restored:
        """Start as a node does: `node.disk`. Raises: CorruptionError, Violation."""
        backend = WatchedBackend(self.directory.database_path)
        try:
            self._store = storage.open_store(backend, self.identity, self.committee.parameters)
            opened = self._open_journal()
            self.torn = opened.torn_bytes > 0
            self.acted["journal: torn tails dropped"] += self.torn
            records = [decode_record(record) for record in opened.records]
            opened.journal.close()
            self._reconcile_journal(opened.journal.marker.groups, records)
            self._reconcile_database()
            restored = self.store.restore(genesis_vertex(self.committee.genesis), fold(records))
            if self.damaged:  # its operator reads it through before it is trusted again
                for problem in self.problems():
                    raise CorruptionError(problem)
            self._compare(restored, super().restore())
        except BaseException:
            backend.close()
            self._store = None
            raise
        self._backend = backend
        self._files = JournalDisk.load(self._journal_path)
        self._journal = open_journal(self._files, self.identity, self.incarnation).journal
        self._promises = fold(records)
        self._unsynced = True
        self._sync_database()
        super().sync()
        self.damaged = False
        return restored

    def _open_journal(self) -> Opened:
        marker = self.store.journal_marker()
        try:
            return self.directory.open_journal(self.incarnation, at_least=marker)
        except (JournalMissing, JournalDamaged, JournalOutdated) as error:
            if not self.damaged:
                raise Violation(f"a journal nobody damaged is not believed: {error}") from error
            self.acted[f"start: {type(error).__name__}"] += 1
        first = AmnesiaBegun(self._rng.randbytes(32))
        begin_again(
            self.directory, self.incarnation, encode_record(first), self.store.put_journal_marker
        )
        self.journal, self.journal_synced = [first], 1
        self._forget_index()
        self._records_at = {1: 1}
        return self.directory.open_journal(self.incarnation, at_least=self.store.journal_marker())

    # --- storage against its model

    def _reconcile_journal(self, groups: int, records: list[Record]) -> None:
        """Cut the model where the journal ends; both must then say the same."""
        if groups not in self._records_at:
            raise Violation(
                f"the journal has {groups} groups, never written: {sorted(self._records_at)[-4:]}"
            )
        kept = self._records_at[groups]
        if kept < self.journal_synced:
            raise Violation(f"{self.journal_synced} records were synced, {kept} are left")
        del self.journal[kept:]
        self._forget_index()
        self._records_at = {g: count for g, count in self._records_at.items() if g <= groups}
        if fold(records) != fold(self.journal):
            raise Violation(f"the journal says {fold(records)}, written was {fold(self.journal)}")

    def _reconcile_database(self) -> None:
        """Cut the model where the database ends: at the end of a turn that was not synced yet."""
        store = self.store
        found = (
            sum(1 for _ in store.backend.scan(Family.VERTICES)),
            store.final_sequence(),
            sum(1 for _ in store.backend.scan(Family.CHECKPOINTS)),
            len(store.retakes()),
        )
        ends = [length for counts, length in self._turns if counts == found]
        if not ends:
            raise Violation(f"the database holds {found}, the end of no turn: {self._turns[-9:]}")
        if ends[-1] < self.operations_synced and not self.damaged:
            raise Violation(f"{self.operations_synced} operations were synced, {ends[-1]} are left")
        self.lost = [
            operation.message
            for operation in self.operations[ends[-1] : self.operations_synced]
            if isinstance(operation, Store)
        ]
        del self.operations[ends[-1] :]
        self.tables = Tables()
        for operation in self.operations:
            self.tables.apply(operation)
        self._turns = [turn for turn in self._turns if turn[1] < ends[-1]]
        self._turns.append((found, ends[-1]))

    def _compare(self, restored: Restored, expected: Restored) -> None:
        """What a start is given must be what the model would give."""
        for name, ours, theirs in (
            ("final", restored.final, expected.final),
            ("log", restored.log.root(), expected.log.root()),
            ("executed", restored.executed, expected.executed),
            ("certificate", restored.certificate, expected.certificate),
            ("recent", set(restored.recent), set(expected.recent)),
            (
                "pending",
                {message.vertex.hash for message in restored.pending},
                {message.vertex.hash for message in expected.pending},
            ),
            (
                "retakes",
                {retake.vertex for retake in self.store.retakes()},
                set(self.tables.retakes),
            ),
        ):
            if ours != theirs:
                raise Violation(f"restored {name} is {ours}; written was {theirs}")

    def _counts(self) -> tuple[int, ...]:
        tables = self.tables
        final = max(tables.sequences, default=SequenceNumber(0))
        return len(tables.vertices), final, len(tables.checkpoints), len(tables.retakes)

    # --- helpers

    @property
    def _open(self) -> Journal:
        assert self._journal is not None, "the node is down"
        return self._journal

    def _append(self, records: list[Record]) -> None:
        if self.room is not None and self.room < len(records):
            self.arm(self._rng.choice((no_space(), BYTES_TAKEN)), after=self._rng.randrange(2))
        elif self.room is not None:
            self.room -= len(records)
        self._records_at[self._open.marker.groups + 1] = len(self.journal) + len(records)
        self._files.puts_off = True
        try:
            self._open.append_synced([encode_record(record) for record in records])
        except (JournalStopped, PowerCut) as error:
            self.journal += records  # whether the disk has them shows at the start
            if isinstance(error, PowerCut):
                raise
            self.acted["journal: no space for a group"] += 1
            raise DiskFull(str(error)) from error
        finally:
            self._files.puts_off = False
        for record in records:
            self._promises.apply(record)

    def _apply(self, rows: list[storage.StorageEffect]) -> None:
        if rows:
            self.store.apply(rows, journal=self._open.marker)
            self._on_stable(rows)

    def _on_stable(self, rows: list[storage.StorageEffect]) -> None:
        if not any(isinstance(effect, Stable) for effect in rows):
            return
        if self._open.used_bytes >= ROTATE_AT_BYTES:
            self._records_at[self._open.marker.groups + 1] = len(self.journal)
            try:
                self._open.rotate([encode_record(record) for record in self._promises.records()])
            except JournalStopped as error:
                self.acted["journal: no space for a rotation"] += 1
                raise DiskFull(str(error)) from error
            self.acted["rotations"] += 1
        if self._rng.random() < 0.5:  # a node does when 2,000 wait; few worlds have so many
            self.store.index_transactions()

    def _sync_database(self) -> None:
        self.store.sync()
        self._unsynced = False
