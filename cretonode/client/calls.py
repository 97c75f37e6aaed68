"""Every call of the interface as a value: what to send, and how to read the answer. Pure.

Both clients perform these, so they cannot differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import cbor2

from cretonode.client.errors import BadAnswer, Failed, Rejected, Unavailable
from cretonode.client.fields import Fields, parse_fields
from cretonode.client.results import (
    Finalized,
    FinalizedRange,
    Peer,
    Readiness,
    Status,
    Submitted,
    Transaction,
    Validator,
    Vertex,
)
from cretonode.errors import ClientError
from cretonode.identifiers import (
    HASH_BYTES,
    AuthorIndex,
    Digest,
    Height,
    NodeId,
    SequenceNumber,
    TransactionId,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX

NOT_FOUND: Final = "urn:cretonode:problem:not-found"
NOT_READY: Final = "urn:cretonode:problem:not-ready"
UNAVAILABLE: Final = (429, 502, 503, 504)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    body: bytes
    retry_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Answer]):
    """One request. All of them may be repeated: they read, or are known by their content."""

    method: str = "GET"
    path: str
    read: Callable[[Reply], Answer]
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    content_type: str | None = None
    wait_ms: int = 0  # how long the node may take on purpose


def submit(transactions: Sequence[bytes], wait_ms: int | None) -> Call[tuple[Submitted, ...]]:
    """Submit transactions, all or none. Raises: ClientError, when no node would take them."""
    given: object = transactions  # `bytes` is easily passed for a list of them
    if isinstance(given, bytes | bytearray | str):
        raise ClientError("transactions is one value; expected a list of bytes")
    if not 1 <= len(transactions) <= PAYLOAD_TRANSACTIONS_MAX:
        raise ClientError(
            f"{len(transactions)} transactions in one submission; expected 1 to"
            f" {PAYLOAD_TRANSACTIONS_MAX}"
        )
    for position, transaction in enumerate(transactions):
        item: object = transaction
        if not isinstance(item, bytes | bytearray | memoryview):
            raise ClientError(
                f"transaction {position} is of type {type(item).__name__}; expected bytes"
            )
        if not 1 <= len(transaction) <= TRANSACTION_BYTES_MAX:
            raise ClientError(
                f"transaction {position} has {len(transaction)} bytes; expected 1 to"
                f" {TRANSACTION_BYTES_MAX}"
            )
    return Call(
        method="POST",
        path="/v1/transactions",
        read=_read_submitted,
        query=_wait(wait_ms),
        content=cbor2.dumps([bytes(transaction) for transaction in transactions]),
        content_type="application/cbor",
        wait_ms=wait_ms or 0,
    )


def transaction(id_: bytes, wait_ms: int | None) -> Call[Transaction | None]:
    """Ask for a transaction; None: that node does not know it."""
    return Call(
        path=f"/v1/transactions/{_hash(id_)}",
        read=_or_none(_read_transaction),
        query=_wait(wait_ms),
        wait_ms=wait_ms or 0,
    )


def finalized(first: int, count: int) -> Call[FinalizedRange]:
    """Ask for a range of the final order."""
    query = {"first": str(first), "count": str(count)}
    return Call(path="/v1/finalized", read=_fielded(_read_range), query=query)


def vertex(hash_: bytes) -> Call[Vertex | None]:
    """Ask for a vertex; None: that node does not know it."""
    return Call(path=f"/v1/vertices/{_hash(hash_)}", read=_or_none(_read_vertex))


def tips() -> Call[tuple[Vertex, ...]]:
    """Ask for the vertices without a child."""
    return Call(path="/v1/tips", read=_fielded(lambda f: tuple(map(_read_vertex, f.each("tips")))))


def status() -> Call[Status]:
    """Ask where the node stands."""
    return Call(path="/v1/status", read=_fielded(_read_status))


def peers() -> Call[tuple[Peer, ...]]:
    """Ask how the node sees the other validators."""
    return Call(path="/v1/peers", read=_fielded(lambda f: tuple(map(_read_peer, f.each("peers")))))


def validators() -> Call[tuple[Validator, ...]]:
    """Ask for the committee."""
    return Call(
        path="/v1/validators",
        read=_fielded(lambda f: tuple(map(_read_validator, f.each("validators")))),
    )


def ready() -> Call[Readiness]:
    """Ask whether the node can serve now. That it cannot is an answer, too."""
    return Call(path="/readyz", read=_read_readiness)


# --- errors


def problem_of(reply: Reply) -> Rejected | Unavailable | Failed:
    """Return the error that `reply`, which is no success, stands for."""
    type_, detail, error_id = _problem_fields(reply)
    if reply.status in UNAVAILABLE:
        return Unavailable(
            detail, status=reply.status, problem=type_, retry_after_s=reply.retry_after_s
        )
    if reply.status >= 500:
        return Failed(detail, status=reply.status, problem=type_, error_id=error_id)
    return Rejected(detail, status=reply.status, problem=type_)


def _problem_fields(reply: Reply) -> tuple[str, str, str | None]:
    try:
        problem = parse_fields(reply.body)
        type_, detail = problem.text("type"), problem.text("detail")
    except BadAnswer:  # something between us and the node answered: a proxy, a load balancer
        return "about:blank", f"HTTP status {reply.status}", None
    try:
        return type_, detail, problem.text("error_id")
    except BadAnswer:
        return type_, detail, None


def _check_success(reply: Reply) -> None:
    if not 200 <= reply.status < 300:
        raise problem_of(reply)


# --- answers


def _fielded(read: Callable[[Fields], Answer]) -> Callable[[Reply], Answer]:
    def read_reply(reply: Reply) -> Answer:
        _check_success(reply)
        return read(parse_fields(reply.body))

    return read_reply


def _or_none(read: Callable[[Fields], Answer]) -> Callable[[Reply], Answer | None]:
    def read_reply(reply: Reply) -> Answer | None:
        if reply.status == 404 and _problem_fields(reply)[0] == NOT_FOUND:
            return None
        return _fielded(read)(reply)

    return read_reply


def _read_submitted(reply: Reply) -> tuple[Submitted, ...]:
    _check_success(reply)
    fields = parse_fields(reply.body)
    return tuple(_read_place(item) for item in fields.each("transactions"))


def _read_place(fields: Fields) -> Submitted:
    id_, known = TransactionId(fields.digest("id")), fields.flag("known")
    if not fields.has("sequence"):  # nobody waited
        return Submitted(id=id_, known=known)
    return Submitted(
        id=id_,
        known=known,
        sequence=_maybe_sequence(fields),
        position=fields.maybe_whole("position"),
        offset=fields.maybe_whole("offset"),
    )


def _read_transaction(fields: Fields) -> Transaction:
    vertex_hash = fields.maybe_digest("vertex")
    return Transaction(
        id=TransactionId(fields.digest("id")),
        sequence=_maybe_sequence(fields),
        position=fields.maybe_whole("position"),
        offset=fields.maybe_whole("offset"),
        vertex=None if vertex_hash is None else VertexHash(vertex_hash),
        transaction=fields.maybe_data("transaction"),
    )


def _read_range(fields: Fields) -> FinalizedRange:
    return FinalizedRange(
        sequences=tuple(map(_read_finalized, fields.each("finalized"))),
        next=SequenceNumber(fields.whole("next")),
        final=SequenceNumber(fields.whole("final")),
    )


def _read_finalized(fields: Fields) -> Finalized:
    return Finalized(
        sequence=SequenceNumber(fields.whole("sequence")),
        anchor=VertexHash(fields.digest("anchor")),
        timestamp_ms=fields.whole("timestamp_ms"),
        vertices=tuple(map(VertexHash, fields.digests("vertices"))),
        transactions=tuple(map(TransactionId, fields.digests("transactions"))),
        log_root=Digest(fields.digest("log_root")),
    )


def _read_vertex(fields: Fields) -> Vertex:
    return Vertex(
        hash=VertexHash(fields.digest("hash")),
        author=ValidatorIndex(fields.whole("author")),
        index=AuthorIndex(fields.whole("index")),
        height=Height(fields.whole("height")),
        anchor_sequence=SequenceNumber(fields.whole("anchor_sequence")),
        parents=tuple(map(VertexHash, fields.digests("parents"))),
        timestamp_ms=fields.whole("timestamp_ms"),
        transaction_count=fields.whole("transaction_count"),
        payload_bytes=fields.whole("payload_bytes"),
        sequence=_maybe_sequence(fields),
        position=fields.maybe_whole("position"),
        signature=fields.data("signature"),
    )


def _read_status(fields: Fields) -> Status:
    return Status(
        chain_id=fields.text("chain_id"),
        name=fields.text("name"),
        index=ValidatorIndex(fields.whole("index")),
        node_id=NodeId(fields.digest("node_id")),
        version=fields.text("version"),
        view=View(fields.whole("view")),
        leader=ValidatorIndex(fields.whole("leader")),
        view_open=fields.flag("view_open"),
        final=SequenceNumber(fields.whole("final")),
        stable=SequenceNumber(fields.whole("stable")),
        in_flight=fields.whole("in_flight"),
        executed_transactions=fields.whole("executed_transactions"),
        waiting_transactions=fields.whole("waiting_transactions"),
        validators=fields.whole("validators"),
        quorum=fields.whole("quorum"),
        faults=fields.whole("faults"),
        connected=fields.whole("connected"),
        ready=fields.flag("ready"),
        reason=fields.text("reason"),
        tolerance=fields.text("tolerance"),
        uptime_ms=fields.whole("uptime_ms"),
    )


def _read_peer(fields: Fields) -> Peer:
    view, final = fields.maybe_whole("view"), fields.maybe_whole("final")
    return Peer(
        index=ValidatorIndex(fields.whole("index")),
        name=fields.text("name"),
        node_id=NodeId(fields.digest("node_id")),
        address=fields.text("address"),
        connected=fields.flag("connected"),
        round_trip_ms=fields.maybe_number("round_trip_ms"),
        silence_ms=fields.maybe_number("silence_ms"),
        backlog_bytes=fields.whole("backlog_bytes"),
        view=None if view is None else View(view),
        final=None if final is None else SequenceNumber(final),
        last_error=fields.text("last_error"),
    )


def _read_validator(fields: Fields) -> Validator:
    return Validator(
        index=ValidatorIndex(fields.whole("index")),
        name=fields.text("name"),
        node_id=NodeId(fields.digest("node_id")),
        address=fields.text("address"),
        public_key=fields.data("public_key"),
    )


def _read_readiness(reply: Reply) -> Readiness:
    if reply.status == 503:
        type_, detail, _ = _problem_fields(reply)
        if type_ == NOT_READY:
            return Readiness(ready=False, reason=detail)
    _check_success(reply)
    return Readiness(ready=parse_fields(reply.body).flag("ready"), reason="")


def _maybe_sequence(fields: Fields) -> SequenceNumber | None:
    value = fields.maybe_whole("sequence")
    return None if value is None else SequenceNumber(value)


def _wait(wait_ms: int | None) -> dict[str, str]:
    return {} if wait_ms is None else {"wait": str(wait_ms)}


def _hash(value: bytes) -> str:
    if len(value) != HASH_BYTES:
        raise ClientError(f"a hash of {len(value)} bytes; expected {HASH_BYTES}")
    return value.hex()
