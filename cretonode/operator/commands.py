"""The commands that a node answers on its operator socket."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from cretonode.crypto.canonical import Value
from cretonode.errors import ClientError
from cretonode.identifiers import HASH_BYTES, VertexHash
from cretonode.operator import protocol
from cretonode.operator.protocol import (
    INTERVAL_MS_MAX,
    INTERVAL_MS_MIN,
    WALK_VERTICES_MAX,
    Request,
    peers_value,
    records_value,
    status_value,
)
from cretonode.operator.protocol_deltas import topics_untrusted
from cretonode.operator.protocol_fields import NUMBER_MAX, table_value
from cretonode.operator.protocol_recording import HistoryPiece, history_value
from cretonode.operator.protocol_topics import VertexSnapshot

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TIME_MS_MAX: Final = 10 * 365 * 24 * 3_600_000  # ten years: longer is for ever

# By command: the arguments it must have, and those it may have.
ARGUMENTS: Final[Mapping[str, tuple[set[str], set[str]]]] = {
    protocol.BAN_ADD: ({"validator", "reason"}, {"lasts_ms", "dry_run"}),
    protocol.BAN_REMOVE: ({"validator"}, {"dry_run"}),
    protocol.EVIDENCE_GET: ({"id"}, set()),
    protocol.HISTORY: (set(), {"from_ms", "cursor"}),
    protocol.LOG_LEVEL: ({"level"}, {"dry_run"}),
    protocol.STEP_DOWN: (set(), {"dry_run"}),
    protocol.STOP: (set(), {"dry_run"}),
    protocol.VERTEX: ({"hash"}, set()),
    protocol.WALK: ({"hash"}, {"descendants", "vertices_max"}),
    protocol.WATCH: ({"interval_ms"}, {"topics"}),
}


@dataclass(frozen=True, slots=True)
class Then:
    """An answer, and what is done once the client has it or is gone."""

    value: Value
    act: Callable[[], None]


Handler: TypeAlias = Callable[[Request], Awaitable[Value | Then]]


class OperatorSource(Protocol):
    """What the commands need of a node. Satisfied by `node.service.Service`."""

    def status(self) -> "DataclassInstance":
        """Return where the node stands: the fields of a StatusSnapshot."""

    def peers(self) -> "Sequence[DataclassInstance]":
        """Return the other validators: the fields of PeerSnapshots."""

    def bans(self) -> "Sequence[DataclassInstance]":
        """Return the bans that stand: the fields of BanSnapshots."""

    def reputation(self) -> "Sequence[DataclassInstance]":
        """Return the others' scores: the fields of ReputationSnapshots."""

    def violations(self) -> "Sequence[DataclassInstance]":
        """Return the newest violations: the fields of ViolationSnapshots."""

    def evidence(self) -> "Sequence[DataclassInstance]":
        """Return the evidence kept: the fields of EvidenceSnapshots."""

    def evidence_bytes(self, id_: bytes) -> bytes | None:
        """Return a piece of evidence as it travels between nodes."""

    def ban_add(self, validator: str, *, reason: str, lasts_ms: int | None, dry_run: bool) -> str:
        """Ban a validator, by name or index; return the effect in words. Raises: ClientError."""

    def ban_remove(self, validator: str, *, dry_run: bool) -> str:
        """Take a ban back; return the effect in words. Raises: ClientError."""


class OperatorTools(Protocol):
    """What else they need. Satisfied by `node.tools.Tools`."""

    async def vertex(self, vertex: VertexHash) -> VertexSnapshot | None:
        """Return a vertex that is here."""

    async def walk(
        self, vertex: VertexHash, *, descendants: bool, vertices_max: int
    ) -> Sequence[VertexSnapshot]:
        """Return ancestors or descendants, nearest first."""

    async def history(self, *, from_ms: int | None, cursor: int | None) -> HistoryPiece:
        """Return a piece of what operators saw. Raises: ClientError."""

    def log_level(self, level: str, *, dry_run: bool) -> str:
        """Log from `level` on; return the effect in words. Raises: ClientError."""

    def step_down(self, *, dry_run: bool) -> str:
        """Give the lead up; return the effect in words. Raises: ClientError."""

    def stop_effect(self, *, dry_run: bool) -> str:
        """Return what stopping means; it is done when `dry_run` is false."""

    def stop(self) -> None:
        """Stop the node in good order."""


def commands_of(node: OperatorSource, tools: OperatorTools) -> Handler:
    """Return the handler that answers for `node`, all but `watch` and `unwatch`."""

    async def answer(request: Request) -> Value | Then:
        """Raises: ClientError, MalformedMessage."""
        checked_arguments(request)
        match request.command:
            case protocol.STATUS:
                return status_value(node.status())
            case protocol.PEERS:
                return peers_value(node.peers())
            case protocol.BANS:
                return records_value(node.bans())
            case protocol.REPUTATION:
                return records_value(node.reputation())
            case protocol.VIOLATIONS:
                return records_value(node.violations())
            case protocol.EVIDENCE:
                return records_value(node.evidence())
            case protocol.PING:
                return None
            case protocol.EVIDENCE_GET | protocol.BAN_ADD | protocol.BAN_REMOVE:
                return _judge(node, request)
            case protocol.VERTEX | protocol.WALK | protocol.HISTORY:
                return await _look(tools, request)
            case _:
                return _steer(tools, request)

    return answer


async def _look(tools: OperatorTools, request: Request) -> Value:
    arguments = request.arguments
    if request.command == protocol.HISTORY:
        piece = await tools.history(
            from_ms=_number(arguments, "from_ms", None, 0, NUMBER_MAX),
            cursor=_number(arguments, "cursor", None, 0, NUMBER_MAX),
        )
        return history_value(piece)
    wanted = arguments["hash"]
    if not isinstance(wanted, bytes) or len(wanted) != HASH_BYTES:
        raise ClientError(f"hash is not a byte string of {HASH_BYTES} bytes")
    if request.command == protocol.VERTEX:
        found = await tools.vertex(VertexHash(wanted))
        return table_value(VertexSnapshot, [] if found is None else [found])
    most = _number(arguments, "vertices_max", WALK_VERTICES_MAX, 1, WALK_VERTICES_MAX)
    assert most is not None
    descendants = _flag(arguments, "descendants")
    walked = await tools.walk(VertexHash(wanted), descendants=descendants, vertices_max=most)
    return table_value(VertexSnapshot, walked)


def _steer(tools: OperatorTools, request: Request) -> Value | Then:
    arguments = request.arguments
    dry_run = _flag(arguments, "dry_run")
    match request.command:
        case protocol.LOG_LEVEL:
            return tools.log_level(_text(arguments, "level"), dry_run=dry_run)
        case protocol.STEP_DOWN:
            return tools.step_down(dry_run=dry_run)
        case _:
            assert request.command == protocol.STOP, request.command
            effect = tools.stop_effect(dry_run=dry_run)
            return effect if dry_run else Then(effect, tools.stop)


# --- arguments


def checked_arguments(request: Request) -> Mapping[str, Value]:
    """Return the arguments of a command that exists and takes them. Raises: ClientError."""
    if request.command not in protocol.COMMANDS:
        known = ", ".join(protocol.COMMANDS)
        raise ClientError(f"there is no command {request.command!r}; known are {known}")
    needed, allowed = ARGUMENTS.get(request.command, (set(), set()))
    given = set(request.arguments)
    if not needed and not allowed and given:
        raise ClientError(f"{request.command} takes no arguments")
    if needed - given:
        raise ClientError(f"{request.command} needs {', '.join(sorted(needed - given))}")
    if given - needed - allowed:
        unknown = ", ".join(sorted(given - needed - allowed))
        raise ClientError(f"{request.command} does not take {unknown}")
    return request.arguments


def topics_of(arguments: Mapping[str, Value]) -> frozenset[str]:
    """Return the topics of a `watch`. Raises: ClientError, MalformedMessage."""
    return topics_untrusted(_text(arguments, "topics") if "topics" in arguments else "")


def interval_ms_of(arguments: Mapping[str, Value]) -> int:
    """Return the interval of a `watch`. Raises: ClientError."""
    interval_ms = _number(arguments, "interval_ms", None, INTERVAL_MS_MIN, INTERVAL_MS_MAX)
    if interval_ms is None:
        raise ClientError("interval_ms is null")
    return interval_ms


def _judge(node: OperatorSource, request: Request) -> Value:
    arguments = request.arguments
    match request.command:
        case protocol.BAN_ADD:
            return node.ban_add(
                _text(arguments, "validator"),
                reason=_text(arguments, "reason"),
                lasts_ms=_number(arguments, "lasts_ms", None, 1, TIME_MS_MAX),
                dry_run=_flag(arguments, "dry_run"),
            )
        case protocol.BAN_REMOVE:
            validator = _text(arguments, "validator")
            return node.ban_remove(validator, dry_run=_flag(arguments, "dry_run"))
        case _:
            assert request.command == protocol.EVIDENCE_GET, request.command
            wanted = arguments["id"]
            if not isinstance(wanted, bytes):
                raise ClientError("id is not a byte string")
            return node.evidence_bytes(wanted)


def _text(arguments: Mapping[str, Value], name: str) -> str:
    value = arguments[name]
    if not isinstance(value, str):
        raise ClientError(f"{name} is not a text")
    return value


def _flag(arguments: Mapping[str, Value], name: str) -> bool:
    value = arguments.get(name, False)
    if not isinstance(value, bool):
        raise ClientError(f"{name} is neither true nor false")
    return value


def _number(
    arguments: Mapping[str, Value], name: str, default: int | None, low: int, high: int
) -> int | None:
    value = arguments.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ClientError(f"{name} is not a whole number from {low} to {high}")
    return value
