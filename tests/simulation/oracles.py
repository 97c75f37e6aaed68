"""What must never happen, checked at every effect, and what must have happened at the end.

Source: SPEC C3 (agreement, liveness), C7 (exactly once), C8 (durable before sent).
"""

from dataclasses import dataclass, field

from cretonode.core.effects import Finalize
from cretonode.core.messages import (
    Attestation,
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Rejoin,
    Statement,
    Suspect,
    VertexMessage,
    ViewChange,
)
from cretonode.core.records import (
    BaseAdopted,
    Promises,
    Record,
)
from cretonode.crypto.hashing import hash_of
from cretonode.dag.payload import each_id
from cretonode.identifiers import SequenceNumber, TransactionId, ValidatorIndex, View
from tests.simulation.disk import Disk


class Violation(AssertionError):
    """A promise of the protocol was broken."""


@dataclass(slots=True)
class Oracles:
    """Shared by all honest nodes of one world."""

    dedup_window: int
    malicious: set[ValidatorIndex] = field(default_factory=set)
    submitted: dict[TransactionId, SequenceNumber] = field(default_factory=dict)
    order: dict[SequenceNumber, tuple[object, ...]] = field(default_factory=dict)
    executed: dict[TransactionId, SequenceNumber] = field(default_factory=dict)
    said: dict[tuple[object, ...], object] = field(default_factory=dict)
    promises: dict[str, Promises] = field(default_factory=dict)
    left: dict[str, ViewChange] = field(default_factory=dict)  # each node's last view-change
    committed: dict[str, dict[View, Commit]] = field(default_factory=dict)  # highest in each view
    opened: set[View] = field(default_factory=set)  # by an honest node, after a view change
    forks: list[str] | None = None  # where forks are wanted: those seen, instead of a violation

    def on_finalize(self, name: str, effect: Finalize, disk: Disk) -> None:
        """Agreement, total order and exactly-once."""
        for vertex in effect.vertices:
            if vertex.hash not in disk.tables.vertices:
                raise Violation(f"{name} finalizes {vertex} without having stored it")
        what = (
            effect.anchor.hash,
            tuple(v.hash for v in effect.vertices),
            effect.skipped,
            effect.log.root(),
        )
        is_first = effect.sequence not in self.order
        agreed = self.order.setdefault(effect.sequence, what)
        if agreed != what:
            fork = f"{name} finalizes {what} at {effect.sequence}, others {agreed}"
            if self.forks is None:
                raise Violation(fork)
            self.forks.append(fork)
        if is_first and not self.forks:
            self._check_once(effect, disk)

    def _check_once(self, effect: Finalize, disk: Disk) -> None:
        """Nothing is executed twice, however long somebody was away.

        But a client may submit it again to a node that executed it a window ago, and who is
        malicious may bring it again when the window has passed.
        """
        for vertex, skipped in zip(effect.vertices, effect.skipped, strict=True):
            is_malicious = vertex.author in self.malicious
            ids = each_id(disk.tables.vertices[vertex.hash].transaction_ids)
            for bit, transaction in enumerate(ids):
                if not skipped >> bit & 1:
                    before = self.executed.get(transaction)
                    again = effect.sequence if is_malicious else self.submitted.get(transaction, 0)
                    if before is not None and again - before < self.dedup_window:
                        raise Violation(
                            f"{transaction.hex()} executed at {before} and {effect.sequence}"
                        )
                    self.executed[transaction] = effect.sequence

    def on_submit(self, transactions: list[bytes], final: SequenceNumber) -> None:
        """A client hands transactions to an honest node that has executed up to `final`."""
        for transaction in transactions:
            id_ = TransactionId(hash_of(transaction))
            self.submitted[id_] = max(final, self.submitted.get(id_, final))

    def on_start(self, name: str, promises: Promises) -> None:
        """Take up what a node's journal gave back."""
        self.promises[name] = promises

    def on_persist(self, name: str, record: Record) -> None:
        """A journal always folds, and never holds two bases of one view."""
        try:
            self.promises[name].apply(record)
        except AssertionError as error:
            raise Violation(f"{name} journals {record} against its promises: {error}") from error
        if isinstance(record, BaseAdopted) and self.promises[name].amnesia is None:
            before = self.said.setdefault((name, "base", record.view), record.base)
            if before != record.base:
                raise Violation(f"{name} adopts {before} and {record.base} in view {record.view}")
            if record.view > 0:
                self.opened.add(record.view)

    def on_say(self, name: str, statement: Statement, disk: Disk) -> None:
        """Durable before sent; and nothing is ever contradicted, crashes included."""
        if self.promises[name].amnesia is not None and not isinstance(statement, Rejoin):
            raise Violation(f"{name} is amnesiac and says {statement}")
        if not disk.holds(statement):
            raise Violation(f"{name} says {statement} before its journal is synced")
        # The leader's own anchor is stored when it comes back signed.
        if isinstance(statement, Prepare) and statement.anchor not in disk.tables.vertices:
            raise Violation(f"{name} prepares {statement} without the anchor")
        key, value = slot_of(statement)
        before = self.said.setdefault((name, *key), value)
        if before != value:
            raise Violation(f"{name} contradicts itself at {key}: {before}, then {value}")
        self._check_left(name, statement)

    def _check_left(self, name: str, statement: Statement) -> None:
        """A view that was left gets no vote; a view-change hides no commit."""
        left, committed = self.left.get(name), self.committed.setdefault(name, {})
        match statement:
            case ViewChange(high=high):
                self.left[name] = statement
                below = [view for view in committed if view < statement.view]
                if below and high.rank < (max(below), committed[max(below)].sequence):
                    raise Violation(f"{name} says {statement} after {committed[max(below)]}")
            case PrePrepare() | Prepare() | Commit():
                if left is not None and statement.view < left.view:
                    raise Violation(f"{name} says {statement} after {left}")
                if isinstance(statement, Commit):
                    known = committed.get(statement.view)
                    if known is None or statement.sequence > known.sequence:
                        committed[statement.view] = statement
            case _:
                pass


def slot_of(statement: Statement) -> tuple[tuple[object, ...], object]:
    """What at most one statement may be made for, and what was stated."""
    match statement:
        case PrePrepare() | Prepare() | Commit():
            kind = type(statement).__name__
            return (kind, statement.view, statement.sequence), statement.anchor
        case ViewChange():
            return ("ViewChange", statement.view), statement.high
        case NewView():
            return ("NewView", statement.view), statement.base
        case VertexMessage(vertex=vertex):
            return ("Vertex", vertex.index), vertex.hash
        case Checkpoint():
            return ("Checkpoint", statement.sequence), statement.digest
        case Suspect() | Rejoin():
            return (type(statement).__name__,), True
        case Attestation():
            return ("Attestation", statement.about, statement.nonce), None
