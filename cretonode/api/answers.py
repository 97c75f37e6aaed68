"""What the node knows, written as JSON.

Hashes, ids and node ids are hexadecimal; transactions, signatures and keys are base64.
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from cretonode.api.ports import (
    Accepted,
    BanView,
    EvidenceView,
    FinalizedView,
    PeerView,
    ReputationView,
    StatusView,
    TransactionView,
    ValidatorView,
    VertexView,
    ViolationView,
)

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


def encode(document: Json) -> bytes:
    """Return `document` in compact form."""
    return json.dumps(document, separators=(",", ":")).encode()


def encode_accepted(accepted: Iterable[Accepted]) -> bytes:
    """Return the answer to a submission that does not wait.

    Written by hand because batches are the hot path, and digits and booleans need no escaping.
    """
    known = (',"known":false}', ',"known":true}')
    items = ",".join([f'{{"id":"{item.id.hex()}"{known[item.known]}' for item in accepted])
    return f'{{"transactions":[{items}]}}'.encode()


def encode_waited(
    accepted: Sequence[Accepted], found: Sequence[TransactionView | None], *, final: bool
) -> bytes:
    """Return the answer to a submission that waited for finality."""
    return encode(
        {
            "final": final,
            "transactions": [
                {
                    "id": item.id.hex(),
                    "known": item.known,
                    "sequence": None if view is None else view.sequence,
                    "position": None if view is None else view.position,
                    "offset": None if view is None else view.offset,
                }
                for item, view in zip(accepted, found, strict=True)
            ],
        }
    )


def encode_transaction(view: TransactionView) -> bytes:
    """Return one transaction and where it stands in the order."""
    return encode(
        {
            "id": view.id.hex(),
            "final": view.sequence is not None,
            "sequence": view.sequence,
            "position": view.position,
            "offset": view.offset,
            "vertex": None if view.vertex is None else view.vertex.hex(),
            "transaction": None if view.transaction is None else _base64(view.transaction),
        }
    )


def encode_finalized(view: FinalizedView) -> bytes:
    """Return what one sequence finalized."""
    return encode(
        {
            "sequence": view.sequence,
            "anchor": view.anchor.hex(),
            "timestamp_ms": view.timestamp_ms,
            "vertices": [vertex.hex() for vertex in view.vertices],
            "transactions": [id_.hex() for id_ in view.transactions],
            "log_root": view.log_root.hex(),
        }
    )


def vertex_document(view: VertexView) -> Json:
    """Return one vertex, without its payload."""
    return {
        "hash": view.hash.hex(),
        "author": view.author,
        "index": view.index,
        "height": view.height,
        "anchor_sequence": view.anchor_sequence,
        "parents": [parent.hex() for parent in view.parents],
        "timestamp_ms": view.timestamp_ms,
        "transaction_count": view.transaction_count,
        "payload_bytes": view.payload_bytes,
        "sequence": view.sequence,
        "position": view.position,
        "signature": _base64(view.signature),
    }


def status_document(view: StatusView) -> Json:
    """Return where the node stands."""
    return {
        "chain_id": view.chain_id,
        "name": view.name,
        "index": view.index,
        "node_id": view.node_id.hex(),
        "version": view.version,
        "view": view.view,
        "leader": view.leader,
        "view_open": view.view_open,
        "final": view.final,
        "stable": view.stable,
        "in_flight": view.in_flight,
        "executed_transactions": view.executed_transactions,
        "waiting_transactions": view.waiting_transactions,
        "validators": view.validators,
        "quorum": view.quorum,
        "faults": view.faults,
        "connected": view.connected,
        "ready": view.ready,
        "reason": view.reason,
        "tolerance": view.tolerance,
        "uptime_ms": view.uptime_ms,
    }


def peer_document(view: PeerView) -> Json:
    """Return one other validator as this node sees it."""
    return {
        "index": view.index,
        "name": view.name,
        "node_id": view.node_id.hex(),
        "address": view.address,
        "connected": view.connected,
        "round_trip_ms": view.round_trip_ms,
        "silence_ms": view.silence_ms,
        "backlog_bytes": view.backlog_bytes,
        "view": view.view,
        "final": view.final,
        "last_error": view.last_error,
    }


def validator_document(view: ValidatorView) -> Json:
    """Return one member of the committee."""
    return {
        "index": view.index,
        "name": view.name,
        "node_id": view.node_id.hex(),
        "address": view.address,
        "public_key": _base64(view.public_key),
    }


def violation_document(view: ViolationView) -> Json:
    """Return a fault that this node noted."""
    return {
        "at_ms": view.at_ms,
        "validator": view.validator,
        "name": view.name,
        "type": view.type,
        "detail": view.detail,
    }


def reputation_document(view: ReputationView) -> Json:
    """Return what this node makes of another validator."""
    return {
        "validator": view.validator,
        "name": view.name,
        "node_id": view.node_id.hex(),
        "score": view.score,
        "banned": view.banned,
        "violations": view.violations,
        "evidence": view.evidence,
    }


def ban_document(view: BanView) -> Json:
    """Return a ban that has not run out."""
    return {
        "validator": view.validator,
        "name": view.name,
        "node_id": view.node_id.hex(),
        "since_ms": view.since_ms,
        "until_ms": view.until_ms,
        "by": view.by,
        "reason": view.reason,
        "in_force": view.in_force,
    }


def evidence_document(view: EvidenceView) -> dict[str, Json]:
    """Return two statements that contradict each other, in words."""
    return {
        "id": view.id.hex(),
        "author": view.author,
        "name": view.name,
        "contradiction": view.contradiction,
        "first": view.first,
        "second": view.second,
    }


def evidence_file(view: EvidenceView, encoded: bytes, *, chain_id: str) -> Json:
    """Return what `cretonode evidence verify` reads: the words are for people, not checked."""
    return {
        "format": "cretonode evidence",
        "version": 1,
        "chain_id": chain_id,
        **evidence_document(view),
        "evidence": _base64(encoded),
    }


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
