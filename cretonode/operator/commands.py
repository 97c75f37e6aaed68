"""The commands that a node answers on its operator socket."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cretonode.crypto.canonical import Value
from cretonode.errors import ClientError
from cretonode.operator import protocol
from cretonode.operator.protocol import Request, peers_value, status_value

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Handler: TypeAlias = Callable[[Request], Awaitable[Value]]


class OperatorSource(Protocol):
    """What the commands need of a node. Satisfied by every `api.ports.NodePort`."""

    def status(self) -> "DataclassInstance":
        """Return where the node stands: the fields of a StatusSnapshot."""

    def peers(self) -> "Sequence[DataclassInstance]":
        """Return the other validators: the fields of PeerSnapshots."""


def commands_of(node: OperatorSource) -> Handler:
    """Return the handler that answers for `node`."""

    async def answer(request: Request) -> Value:
        """Raises: ClientError."""
        if request.arguments:
            raise ClientError(f"{request.command} takes no arguments")
        match request.command:
            case protocol.STATUS:
                return status_value(node.status())
            case protocol.PEERS:
                return peers_value(node.peers())
            case protocol.PING:
                return None
            case _:
                known = ", ".join(protocol.COMMANDS)
                raise ClientError(f"there is no command {request.command!r}; known are {known}")

    return answer
