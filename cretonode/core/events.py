"""What happens to a replica. Same events, same effects, byte for byte."""

from dataclasses import dataclass
from typing import TypeAlias

from cretonode.core.messages import Message
from cretonode.dag.graph import FinalVertex
from cretonode.identifiers import Digest, ValidatorIndex, VertexHash


@dataclass(frozen=True, slots=True)
class Received:
    """A message whose shape and signatures have been checked.

    `sender` is the validator on whose connection it came; the replica's own statements come back
    this way, from itself, once they are durable and signed.
    """

    sender: ValidatorIndex
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Transactions of this node's clients, packed for one vertex."""

    payload: bytes
    transaction_ids: bytes  # 32 bytes each, in order
    root: Digest
    count: int


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Storage's answer to a Lookup."""

    final: tuple[FinalVertex, ...]
    absent: tuple[VertexHash, ...]


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """Messages reach this validator now; what it missed is not known."""

    peer: ValidatorIndex


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing, not even a keep-alive, has come from this validator for too long."""

    peer: ValidatorIndex


@dataclass(frozen=True, slots=True)
class StepDown:
    """The operator wants another leader, or this node is about to stop."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline the replica asked for has come."""


Event: TypeAlias = Received | Batch | LookedUp | PeerConnected | PeerSilent | StepDown | Tick
