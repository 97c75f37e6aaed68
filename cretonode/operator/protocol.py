"""The operator protocol: what a node and whoever attaches say over its Unix socket.

A client that asks and is answered needs this module alone; one that watches needs
`protocol_deltas` too. Pure. Source: docs/operator-socket.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, assert_never

from cretonode.crypto.canonical import Value as Value
from cretonode.crypto.canonical import decode_untrusted, encode
from cretonode.errors import MalformedMessage as MalformedMessage
from cretonode.identifiers import NodeId, SequenceNumber, ValidatorIndex, View
from cretonode.limits import VALIDATORS_MAX
from cretonode.operator.protocol_fields import (
    NUMBER_MAX,
    fields_untrusted,
    fields_value,
    name_untrusted,
    number_untrusted,
    record_untrusted,
    record_value,
    shown,
    text_untrusted,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VERSION_MAJOR: Final = 1  # another one does not understand this one
VERSION_MINOR: Final = 3  # a higher one has more commands and fields
SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of Linux without its final zero
REQUEST_BYTES_MAX: Final = 64 * 1024  # of a message to the node
RESPONSE_BYTES_MAX: Final = 1024 * 1024  # of a message from it
ID_MAX: Final = 2**32 - 1  # of a request

STATUS: Final = "status"  # answered with the record of a StatusSnapshot
PEERS: Final = "peers"  # answered with an array of records of PeerSnapshots
PING: Final = "ping"  # answered with null
BANS: Final = "bans"  # answered with an array of records of BanSnapshots
BAN_ADD: Final = "ban_add"  # arguments validator, reason, lasts_ms, dry_run; answered with a text
BAN_REMOVE: Final = "ban_remove"  # arguments validator, dry_run; answered with a text
REPUTATION: Final = "reputation"  # answered with an array of records of ReputationSnapshots
VIOLATIONS: Final = "violations"  # answered with an array of records of ViolationSnapshots
EVIDENCE: Final = "evidence"  # answered with an array of records of EvidenceSnapshots
EVIDENCE_GET: Final = "evidence_get"  # argument id; answered with the bytes, null when not kept
WATCH: Final = "watch"  # arguments interval_ms, topics; answered with null, then deltas come
UNWATCH: Final = "unwatch"  # answered with null; no delta comes after that
VERTEX: Final = "vertex"  # argument hash; answered with a table of one VertexSnapshot, or of none
WALK: Final = "walk"  # arguments hash, descendants, vertices_max; with a table of VertexSnapshots
HISTORY: Final = "history"  # argument from_ms or cursor; answered with a HistoryPiece
LOG_LEVEL: Final = "log_level"  # arguments level, dry_run; answered with a text
STEP_DOWN: Final = "step_down"  # argument dry_run; answered with a text
STOP: Final = "stop"  # argument dry_run; answered with a text
COMMANDS: Final = (
    BAN_ADD,
    BAN_REMOVE,
    BANS,
    EVIDENCE,
    EVIDENCE_GET,
    HISTORY,
    LOG_LEVEL,
    PEERS,
    PING,
    REPUTATION,
    STATUS,
    STEP_DOWN,
    STOP,
    UNWATCH,
    VERTEX,
    VIOLATIONS,
    WALK,
    WATCH,
)
WRITING: Final = frozenset({BAN_ADD, BAN_REMOVE, LOG_LEVEL, STEP_DOWN, STOP})  # have a dry_run
INTERVAL_MS_MIN: Final = 100  # of a watch
INTERVAL_MS_MAX: Final = 60_000
WALK_VERTICES_MAX: Final = 256  # in one answer
RECORDS_MAX: Final = 256  # in one answer, but for peers

# --- messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """The first message of a client."""

    major: int = VERSION_MAJOR
    minor: int = VERSION_MINOR
    software: str  # for people: name and version


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The node's answer to an Attach it can work with."""

    major: int = VERSION_MAJOR
    minor: int = VERSION_MINOR
    software: str
    chain_id: str
    name: str
    node_id: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The node's last message: it closes the connection, and says why."""

    major: int = VERSION_MAJOR
    minor: int = VERSION_MINOR
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command. Requests of one client are answered in their order."""

    id: int  # the client's choice, repeated in the response
    command: str
    arguments: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer to a request: a value when `ok`, a sentence when not."""

    id: int
    ok: bool
    value: Value = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What changed since the last one, to a client that watches. See `protocol_deltas`."""

    at_ms: int  # Unix time of the node
    fresh: bool  # what was known before is void: this is everything
    topics: Mapping[str, Value]  # tables by topic; those without change are left out
    ended: bool = False  # in a history: the node stopped here, and nothing follows until it starts


Message: TypeAlias = Attach | Hello | Refusal | Request | Response | Delta


def encode_message(message: Message) -> bytes:
    """Return the one encoding of `message`: [kind, fields]."""
    match message:
        case Attach():
            return encode(["attach", record_value(message)])
        case Hello():
            return encode(["hello", record_value(message)])
        case Refusal():
            return encode(["refusal", record_value(message)])
        case Request(id=id_, command=command, arguments=arguments):
            content: dict[str, Value] = {
                "id": id_,
                "command": command,
                "arguments": fields_value(arguments),
            }
            return encode(["request", fields_value(content)])
        case Response(id=id_, ok=ok, value=value, error=error):
            content = {"id": id_, "ok": ok, "value": value, "error": shown(error)}
            return encode(["response", fields_value(content)])
        case Delta(at_ms=at_ms, fresh=fresh, topics=topics, ended=ended):
            content = {"at_ms": at_ms, "fresh": fresh, "topics": fields_value(topics)}
            if ended:
                content["ended"] = True
            return encode(["delta", fields_value(content)])
        case _:
            assert_never(message)


def decode_message_untrusted(data: bytes) -> Message:
    """Return the message that `data` encodes; fields it does not know are passed over.

    Raises: MalformedMessage.
    """
    items = decode_untrusted(data)
    if not isinstance(items, list) or len(items) != 2:
        raise MalformedMessage("a message is not an array of a kind and its fields")
    kind, content = items
    match kind:
        case "attach":
            return record_untrusted(Attach, content)
        case "hello":
            return record_untrusted(Hello, content)
        case "refusal":
            return record_untrusted(Refusal, content)
        case "request":
            return _request_untrusted(fields_untrusted(content))
        case "response":
            return _response_untrusted(fields_untrusted(content))
        case "delta":
            return _delta_untrusted(fields_untrusted(content))
        case _:
            raise MalformedMessage("a message of an unknown kind")


def refusal_of(attach: Attach, software: str) -> Refusal | None:
    """Return why a node that is `software` cannot work with this client; None when it can."""
    if attach.major == VERSION_MAJOR:
        return None
    return Refusal(
        reason=f"this node ({software}) speaks operator protocol {VERSION_MAJOR}, the client "
        f"({attach.software}) speaks {attach.major}: use the one that came with the node"
    )


def _request_untrusted(content: Mapping[str, Value]) -> Request:
    return Request(
        id=number_untrusted("id", content.get("id"), ID_MAX),
        command=name_untrusted("a command", content.get("command")),
        arguments=fields_untrusted(content.get("arguments")),
    )


def _response_untrusted(content: Mapping[str, Value]) -> Response:
    ok = content.get("ok")
    if not isinstance(ok, bool) or "value" not in content:
        raise MalformedMessage("a response without ok or value")
    return Response(
        id=number_untrusted("id", content.get("id"), ID_MAX),
        ok=ok,
        value=content["value"],
        error=text_untrusted("error", content.get("error")),
    )


def _delta_untrusted(content: Mapping[str, Value]) -> Delta:
    fresh, ended = content.get("fresh"), content.get("ended", False)
    if not isinstance(fresh, bool):
        raise MalformedMessage("a delta without fresh")
    if not isinstance(ended, bool):
        raise MalformedMessage("a delta whose ended is neither true nor false")
    return Delta(
        at_ms=number_untrusted("at_ms", content.get("at_ms"), NUMBER_MAX),
        fresh=fresh,
        topics=fields_untrusted(content.get("topics")),
        ended=ended,
    )


# --- frames

_LENGTH: Final = Struct(">I")


def frame_of(message: bytes) -> bytes:
    """Return `message` behind its length, a big-endian u32."""
    assert 1 <= len(message) <= RESPONSE_BYTES_MAX, len(message)
    return _LENGTH.pack(len(message)) + message


class FrameBuffer:
    """Bytes as they come in, frames as they go out.

    Bound: one message of `bytes_max` and what one `feed` brings, if whoever feeds takes every
    frame first.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._waiting = bytearray()

    def __len__(self) -> int:
        return len(self._waiting)

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        self._waiting += data

    def next_untrusted(self) -> bytes | None:
        """Return the next message, None until all of it is here.

        Raises: MalformedMessage, as soon as a length is out of bounds.
        """
        if len(self._waiting) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._waiting)
        if not 1 <= length <= self._bytes_max:
            raise MalformedMessage(f"a message of {length} bytes; expected 1 to {self._bytes_max}")
        end = _LENGTH.size + length
        if len(self._waiting) < end:
            return None
        message = bytes(self._waiting[_LENGTH.size : end])
        del self._waiting[:end]
        return message


# --- records: what a node shows of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusSnapshot:
    """Where the node stands. The fields are those of `api.ports.StatusView`."""

    chain_id: str
    name: str
    index: ValidatorIndex
    node_id: NodeId
    version: str
    view: View
    leader: ValidatorIndex
    view_open: bool
    final: SequenceNumber
    stable: SequenceNumber
    in_flight: int
    executed_transactions: int
    waiting_transactions: int
    validators: int
    quorum: int
    faults: int
    connected: int
    ready: bool
    reason: str
    tolerance: str
    uptime_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSnapshot:
    """One other validator. The fields are those of `api.ports.PeerView`."""

    index: ValidatorIndex
    name: str
    node_id: NodeId
    address: str
    connected: bool
    round_trip_ms: float | None
    silence_ms: float | None
    backlog_bytes: int
    view: View | None
    final: SequenceNumber | None
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BanSnapshot:
    """A ban that has not run out. The fields are those of `api.ports.BanView`."""

    validator: ValidatorIndex
    name: str
    node_id: NodeId
    since_ms: int
    until_ms: int | None
    by: str
    reason: str
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReputationSnapshot:
    """One other validator's score. The fields are those of `api.ports.ReputationView`."""

    validator: ValidatorIndex
    name: str
    node_id: NodeId
    score: float
    banned: bool
    violations: int
    evidence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationSnapshot:
    """A noted fault. The fields are those of `api.ports.ViolationView`."""

    at_ms: int
    validator: ValidatorIndex
    name: str
    type: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSnapshot:
    """Evidence in words. The fields are those of `api.ports.EvidenceView`."""

    id: bytes
    author: ValidatorIndex
    name: str
    contradiction: str
    first: str
    second: str


Snapshot = TypeVar("Snapshot", bound="DataclassInstance")


def records_value(records: "Sequence[DataclassInstance]") -> Value:
    """Return an array of the records of snapshots, or of dataclasses with the same fields."""
    assert len(records) <= RECORDS_MAX, len(records)
    return [record_value(record) for record in records]


def records_untrusted(kind: type[Snapshot], value: Value) -> tuple[Snapshot, ...]:
    """Return the snapshots of an array of records. Raises: MalformedMessage."""
    if not isinstance(value, list) or len(value) > RECORDS_MAX:
        raise MalformedMessage(f"not an array of at most {RECORDS_MAX} records")
    return tuple(record_untrusted(kind, item) for item in value)


def status_value(status: "DataclassInstance") -> Value:
    """Return the record of a StatusSnapshot, or of a dataclass with the same fields."""
    return record_value(status)


def status_untrusted(value: Value) -> StatusSnapshot:
    """Return the snapshot of a record. Raises: MalformedMessage."""
    return record_untrusted(StatusSnapshot, value)


def peers_value(peers: "Sequence[DataclassInstance]") -> Value:
    """Return the records of PeerSnapshots, or of a dataclass with the same fields."""
    assert len(peers) <= VALIDATORS_MAX, len(peers)
    return [record_value(peer) for peer in peers]


def peers_untrusted(value: Value) -> tuple[PeerSnapshot, ...]:
    """Return the snapshots of an array of records. Raises: MalformedMessage."""
    if not isinstance(value, list) or len(value) > VALIDATORS_MAX:
        raise MalformedMessage(f"peers are not an array of at most {VALIDATORS_MAX} records")
    return tuple(record_untrusted(PeerSnapshot, item) for item in value)
