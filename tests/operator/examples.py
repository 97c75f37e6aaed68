"""Messages, snapshots and a node that shows them."""

from collections.abc import Sequence
from dataclasses import replace

import trio

from cretonode.api.ports import (
    BanView,
    EvidenceView,
    PeerView,
    ReputationView,
    StatusView,
    ViolationView,
)
from cretonode.identifiers import (
    AuthorIndex,
    Height,
    NodeId,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.operator.protocol import (
    Attach,
    Delta,
    Hello,
    Message,
    Refusal,
    Request,
    Response,
)
from cretonode.operator.protocol_deltas import Changes, delta_of
from cretonode.operator.protocol_recording import HistoryPiece
from cretonode.operator.protocol_topics import LogSnapshot, VertexSnapshot

HELLO = Hello(
    software="cretonode 0.1.0", chain_id="test-chain", name="node-1", node_id=NodeId(bytes(32))
)

STATUS_VIEW = StatusView(
    chain_id="test-chain",
    name="node-1",
    index=ValidatorIndex(1),
    node_id=NodeId(b"\x01" * 32),
    version="0.1.0",
    view=View(4),
    leader=ValidatorIndex(0),
    view_open=True,
    final=SequenceNumber(120),
    stable=SequenceNumber(64),
    in_flight=3,
    executed_transactions=10_000,
    waiting_transactions=12,
    validators=4,
    quorum=3,
    faults=1,
    connected=4,
    ready=True,
    reason="",
    tolerance="1 of 4 may crash or lie",
    uptime_ms=61_000,
)

PEER_VIEWS = (
    PeerView(
        index=ValidatorIndex(0),
        name="node-0",
        node_id=NodeId(bytes(32)),
        address="127.0.0.1:9001",
        connected=True,
        round_trip_ms=1.25,
        silence_ms=80.0,
        backlog_bytes=0,
        view=View(4),
        final=SequenceNumber(119),
        last_error="",
    ),
    PeerView(
        index=ValidatorIndex(2),
        name="node-2",
        node_id=NodeId(b"\x02" * 32),
        address="127.0.0.1:9003",
        connected=False,
        round_trip_ms=None,
        silence_ms=None,
        backlog_bytes=70_000,
        view=None,
        final=None,
        last_error="handshake: the peer has another genesis document",
    ),
)

BAN_VIEW = BanView(
    validator=ValidatorIndex(2),
    name="node-2",
    node_id=NodeId(b"\x02" * 32),
    since_ms=1_760_000_000_000,
    until_ms=None,
    by="operator",
    reason="leaked key",
    in_force=True,
)
REPUTATION_VIEW = ReputationView(
    validator=ValidatorIndex(2),
    name="node-2",
    node_id=NodeId(b"\x02" * 32),
    score=0.25,
    banned=True,
    violations=3,
    evidence=1,
)
VIOLATION_VIEW = ViolationView(
    at_ms=1_760_000_000_000,
    validator=ValidatorIndex(2),
    name="node-2",
    type="malformed",
    detail="not CBOR",
)
EVIDENCE_VIEW = EvidenceView(
    id=b"\x07" * 32,
    author=ValidatorIndex(2),
    name="node-2",
    contradiction="two vertices with index 7",
    first="vertex: index 7",
    second="vertex: index 7",
)

VERTEX = VertexSnapshot(
    hash=VertexHash(b"\x05" * 32),
    author=ValidatorIndex(1),
    index=AuthorIndex(9),
    height=Height(12),
    anchor=SequenceNumber(0),
    parents=bytes(64),
    timestamp_ms=1_760_000_000_000,
    transactions=3,
    payload_bytes=300,
    state="waiting",
    sequence=None,
    missing=b"",
)
LINE = LogSnapshot(
    number=1,
    at_ms=1_760_000_000_000,
    level="info",
    event="view_entered",
    text="view=4",
    view=4,
    sequence=None,
    peer=None,
)

MESSAGES: tuple[Message, ...] = (
    Attach(software="creto-console 0.1.0"),
    HELLO,
    Refusal(reason="16 clients are attached; detach one"),
    Request(id=7, command="ban", arguments={"node": "node-2", "until_ms": 5}),
    Response(id=7, ok=True, value=[["a", 1], [b"x", None, True]]),
    Response(id=8, ok=False, error="there is no command 'dance'"),
    delta_of(Changes(log=(LINE,), vertices=()), at_ms=5, fresh=True),
)


class FakeNode:
    """An OperatorSource with nothing behind it."""

    def status(self) -> StatusView:
        return STATUS_VIEW

    def peers(self) -> Sequence[PeerView]:
        return PEER_VIEWS

    def bans(self) -> Sequence[BanView]:
        return (BAN_VIEW,)

    def reputation(self) -> Sequence[ReputationView]:
        return (REPUTATION_VIEW,)

    def violations(self) -> Sequence[ViolationView]:
        return (VIOLATION_VIEW,)

    def evidence(self) -> Sequence[EvidenceView]:
        return (EVIDENCE_VIEW,)

    def evidence_bytes(self, id_: bytes) -> bytes | None:
        return b"evidence" if id_ == EVIDENCE_VIEW.id else None

    def ban_add(self, validator: str, *, reason: str, lasts_ms: int | None, dry_run: bool) -> str:
        return f"ban {validator} {reason} {lasts_ms} {dry_run}"

    def ban_remove(self, validator: str, *, dry_run: bool) -> str:
        return f"pardon {validator} {dry_run}"


class FakeTools:
    """OperatorTools with nothing behind them."""

    def __init__(self) -> None:
        self.walked: list[tuple[bool, int]] = []
        self.stopped = False

    async def vertex(self, vertex: VertexHash) -> VertexSnapshot | None:
        return VERTEX if vertex == VERTEX.hash else None

    async def walk(
        self, vertex: VertexHash, *, descendants: bool, vertices_max: int
    ) -> Sequence[VertexSnapshot]:
        assert vertex == VERTEX.hash
        self.walked.append((descendants, vertices_max))
        return (VERTEX,)

    async def history(self, *, from_ms: int | None, cursor: int | None) -> HistoryPiece:
        following = None if cursor is None else cursor + 1
        return HistoryPiece(cursor=following, frames=b"from %d" % (from_ms or 0))

    def log_level(self, level: str, *, dry_run: bool) -> str:
        return f"log {level} {dry_run}"

    def step_down(self, *, dry_run: bool) -> str:
        return f"step down {dry_run}"

    def stop_effect(self, *, dry_run: bool) -> str:
        return f"stop {dry_run}"

    def stop(self) -> None:
        self.stopped = True


class CountingWatcher:
    """Tells one number, the next each time: a line of the log."""

    def __init__(self, watched: "Watched", topics: frozenset[str]) -> None:
        self._watched = watched
        self._topics = topics
        self._told = 0

    async def delta(self) -> Delta | None:
        await trio.lowlevel.checkpoint()
        self._watched.asked += 1
        self._told += 1
        if not self._watched.speaks:
            return None
        line = replace(LINE, number=self._told, text="x" * self._watched.text_characters)
        rows = (line,) * self._watched.rows
        changes = Changes(log=rows if "log" in self._topics else None)
        return delta_of(changes, at_ms=self._told, fresh=self._told == 1)


class Watched:
    """A Watchable whose watchers count."""

    def __init__(self) -> None:
        self.asked = 0
        self.speaks = True
        self.rows = 1
        self.text_characters = 1

    def watcher(self, topics: frozenset[str]) -> CountingWatcher:
        return CountingWatcher(self, topics)
