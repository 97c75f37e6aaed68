"""The commands that a node answers on its operator socket."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from cretonode.crypto.canonical import Value
from cretonode.errors import ClientError
from cretonode.operator import protocol
from cretonode.operator.protocol import Request, peers_value, records_value, status_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Handler: TypeAlias = Callable[[Request], Awaitable[Value]]
TIME_MS_MAX: Final = 10 * 365 * 24 * 3_600_000  # ten years: longer is for ever

# By command: the arguments it must have, and those it may have.
ARGUMENTS: Final[Mapping[str, tuple[set[str], set[str]]]] = {
    protocol.BAN_ADD: ({"validator", "reason"}, {"lasts_ms", "dry_run"}),
    protocol.BAN_REMOVE: ({"validator"}, {"dry_run"}),
    protocol.EVIDENCE_GET: ({"id"}, set()),
}


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


def commands_of(node: OperatorSource) -> Handler:
    """Return the handler that answers for `node`."""

    async def answer(request: Request) -> Value:
        """Raises: ClientError."""
        if request.command not in protocol.COMMANDS:
            known = ", ".join(protocol.COMMANDS)
            raise ClientError(f"there is no command {request.command!r}; known are {known}")
        _check_arguments(request)
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
            case _:
                return _answer_with_arguments(node, request)

    return answer


def _answer_with_arguments(node: OperatorSource, request: Request) -> Value:
    arguments = request.arguments
    match request.command:
        case protocol.BAN_ADD:
            return node.ban_add(
                _text(arguments, "validator"),
                reason=_text(arguments, "reason"),
                lasts_ms=_time_ms(arguments, "lasts_ms"),
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


def _check_arguments(request: Request) -> None:
    needed, allowed = ARGUMENTS.get(request.command, (set(), set()))
    given = set(request.arguments)
    if not needed and not allowed and given:
        raise ClientError(f"{request.command} takes no arguments")
    if needed - given:
        raise ClientError(f"{request.command} needs {', '.join(sorted(needed - given))}")
    if given - needed - allowed:
        unknown = ", ".join(sorted(given - needed - allowed))
        raise ClientError(f"{request.command} does not take {unknown}")


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


def _time_ms(arguments: Mapping[str, Value], name: str) -> int | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= TIME_MS_MAX:
        raise ClientError(f"{name} is not a whole number from 1 to {TIME_MS_MAX}")
    return value
