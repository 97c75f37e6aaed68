"""A client of the HTTP interface, for applications and the command line."""

from cretonode.client.asynchronous import AsyncClient
from cretonode.client.errors import BadAnswer, Failed, Rejected, Unavailable, Unreachable
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
from cretonode.client.retries import RetryPolicy
from cretonode.client.synchronous import Client
from cretonode.client.transport import Timeouts

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "Client",
    "Failed",
    "Finalized",
    "FinalizedRange",
    "Peer",
    "Readiness",
    "Rejected",
    "RetryPolicy",
    "Status",
    "Submitted",
    "Timeouts",
    "Transaction",
    "Unavailable",
    "Unreachable",
    "Validator",
    "Vertex",
]
