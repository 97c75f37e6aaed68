"""The OpenAPI document of the interface. Pure; a test compares it with the routes and answers.

Source: OpenAPI Specification 3.1.1.
"""

from typing import Final

from cretonode import __version__
from cretonode.api.answers import Json
from cretonode.api.problems import PROBLEM_TYPE, PROBLEMS, TYPE_PREFIX
from cretonode.api.settings import (
    FINALIZED_COUNT_DEFAULT,
    FINALIZED_COUNT_MAX,
    ApiSettings,
)
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX

Schema = dict[str, Json]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
BASE64: Final[Schema] = {"type": "string", "contentEncoding": "base64"}
MAYBE_WHOLE: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
MAYBE_NUMBER: Final[Schema] = {"type": ["number", "null"]}
MAYBE_HASH: Final[Schema] = {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"}
MAYBE_BASE64: Final[Schema] = {"type": ["string", "null"], "contentEncoding": "base64"}


def openapi_document(settings: ApiSettings) -> dict[str, Json]:
    """Return the document."""
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "cretonode",
            "version": __version__,
            "summary": "Submit transactions to the network and read their final order.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            **_transaction_paths(settings),
            **_order_paths(),
            **_network_paths(),
            **_judgement_paths(),
        },
        "components": {"schemas": _schemas()},
    }


def _transaction_paths(settings: ApiSettings) -> dict[str, Json]:
    wait = _query(
        "wait",
        f"Wait so many milliseconds for finality, 0 to {settings.wait_ms_max}.",
        {**WHOLE, "maximum": settings.wait_ms_max},
    )
    submit = _operation(
        "submit",
        "Submit transactions",
        "Taken whole or refused whole. Sending the same bytes again changes nothing.",
        {
            "200": _json("All are final.", "Waited"),
            "202": _json(
                "All are durable here and will be ordered. With `wait`, not all became final"
                " in time.",
                "Accepted",
                "Waited",
            ),
        },
        ["400", "408", "413", "415", "503"],
        [wait],
    )
    size: Schema = {"minLength": 1, "maxLength": TRANSACTION_BYTES_MAX}
    submit["requestBody"] = {
        "required": True,
        "description": f"1 to {PAYLOAD_TRANSACTIONS_MAX} transactions of 1 to"
        f" {TRANSACTION_BYTES_MAX} bytes each, {settings.request_bytes_max} bytes in all.",
        "content": {
            "application/octet-stream": {"schema": {**size}},
            "application/json": {"schema": _ref("Submission")},
            "application/cbor": {
                "schema": {"description": "A byte string, or an array of byte strings."}
            },
        },
    }
    found = _json("The transaction, and where it stands in the order.", "Transaction")
    found["content"] = {
        "application/json": {"schema": _ref("Transaction")},
        "application/octet-stream": {"schema": {**size}},
    }
    transaction = _operation(
        "transaction",
        "Read a transaction",
        "`Accept: application/octet-stream` gives its bytes alone.",
        {"200": found},
        ["400", "404", "503"],
        [_path("id", "The BLAKE3-256 hash of the transaction.", HASH), wait],
    )
    return {
        "/v1/transactions": {"post": submit},
        "/v1/transactions/{id}": {"get": transaction},
    }


def _order_paths() -> dict[str, Json]:
    count: Schema = {
        "type": "integer",
        "minimum": 1,
        "maximum": FINALIZED_COUNT_MAX,
        "default": FINALIZED_COUNT_DEFAULT,
    }
    one: Schema = {"type": "integer", "minimum": 1, "default": 1}
    sequence: Schema = {"type": "integer", "minimum": 1}
    return {
        "/v1/finalized": {
            "get": _operation(
                "finalized",
                "Read a range of the final order",
                "Fewer than `count` sequences come when fewer are final or the answer is full;"
                " go on at `next`.",
                {"200": _json("Whole sequences, in order.", "FinalizedRange")},
                ["400"],
                [
                    _query("first", "The first sequence.", one),
                    _query("count", "How many sequences at most.", count),
                ],
            )
        },
        "/v1/finalized/{sequence}": {
            "get": _operation(
                "finalized_at",
                "Read what one sequence finalized",
                "Never changes once it is there.",
                {"200": _json("The sequence.", "Finalized")},
                ["400", "404"],
                [_path("sequence", "The sequence, from 1.", sequence)],
            )
        },
        "/v1/vertices/{hash}": {
            "get": _operation(
                "vertex",
                "Read a vertex",
                "Final or not, without its payload.",
                {"200": _json("The vertex.", "Vertex")},
                ["400", "404"],
                [_path("hash", "The hash of the vertex.", HASH)],
            )
        },
        "/v1/tips": {"get": _plain("tips", "Read the vertices that have no child", "Tips")},
    }


def _network_paths() -> dict[str, Json]:
    ready = _plain("readyz", "Ask whether the node can serve now", "Ready", ["503"])
    page = _plain("docs", "A page with all this for people", "Ready")
    page["responses"] = {
        "200": {"description": "HTML.", "content": {"text/html": {"schema": TEXT}}}
    }
    document = _plain("openapi", "This document", "Ready")
    document["responses"] = {
        "200": {
            "description": "OpenAPI 3.1.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    }
    return {
        "/v1/status": {"get": _plain("status", "Read where the node stands", "Status")},
        "/v1/validators": {"get": _plain("validators", "Read the committee", "Validators")},
        "/v1/peers": {"get": _plain("peers", "Read how the other validators are seen", "Peers")},
        "/healthz": {"get": _plain("healthz", "Ask whether the process is alive", "Alive")},
        "/readyz": {"get": ready},
        "/openapi.json": {"get": document},
        "/docs": {"get": page},
    }


def _judgement_paths() -> dict[str, Json]:
    return {
        "/v1/reputation": {
            "get": _plain("reputation", "Read the scores of the other validators", "Reputation")
        },
        "/v1/violations": {"get": _plain("violations", "Read what was noted", "Violations")},
        "/v1/bans": {"get": _plain("bans", "Read who is banned, and for how long", "Bans")},
        "/v1/evidence": {
            "get": _plain("evidence", "Read which contradictions are proven", "EvidenceList")
        },
        "/v1/evidence/{id}": {
            "get": _operation(
                "evidence_file",
                "Read a piece of evidence that anybody can verify",
                "What `cretonode evidence verify` reads.",
                {"200": _json("It is kept here.", "Evidence")},
                ["400", "404"],
                [_path("id", "The id of the evidence.", HASH)],
            )
        },
    }


def _schemas() -> dict[str, Json]:
    accepted = {"id": HASH, "known": FLAG}
    place = {"sequence": MAYBE_WHOLE, "position": MAYBE_WHOLE, "offset": MAYBE_WHOLE}
    finalized = {
        "sequence": WHOLE,
        "anchor": HASH,
        "timestamp_ms": WHOLE,
        "vertices": _array(HASH),
        "transactions": _array(HASH),
        "log_root": HASH,
    }
    return {
        "Problem": _problem(),
        "Submission": _submission(),
        "Accepted": _object({"transactions": _array(_object(accepted))}),
        "Waited": _object({"final": FLAG, "transactions": _array(_object({**accepted, **place}))}),
        "Transaction": _object(
            {
                "id": HASH,
                "final": FLAG,
                **place,
                "vertex": MAYBE_HASH,
                "transaction": MAYBE_BASE64,
            }
        ),
        "Finalized": _object(finalized),
        "FinalizedRange": _object(
            {"finalized": _array(_ref("Finalized")), "next": WHOLE, "final": WHOLE}
        ),
        "Vertex": _vertex(),
        "Tips": _object({"tips": _array(_ref("Vertex"))}),
        "Status": _status(),
        "Validators": _object({"validators": _array(_validator())}),
        "Peers": _object({"peers": _array(_peer())}),
        **_judgement_schemas(),
        "Alive": _object({"alive": FLAG}),
        "Ready": _object({"ready": FLAG}),
    }


def _problem() -> Schema:
    names: list[Json] = [TYPE_PREFIX + name for name in PROBLEMS]
    problem = _object({"type": {"enum": names}, "title": TEXT, "status": WHOLE, "detail": TEXT})
    problem["properties"] = {
        "type": {"type": "string", "enum": names},
        "title": TEXT,
        "status": WHOLE,
        "detail": {"type": "string", "description": "What is wrong, where, what is allowed."},
        "error_id": {"type": "string", "description": "Names an internal error in the log."},
    }
    return problem


def _submission() -> Schema:
    count: Schema = {"minItems": 1, "maxItems": PAYLOAD_TRANSACTIONS_MAX}
    return {
        "oneOf": [
            _object({"transaction": BASE64}),
            _object({"text": {"type": "string", "description": "Taken as UTF-8."}}),
            _object({"transactions": {**_array(BASE64), **count}}),
        ]
    }


def _vertex() -> Schema:
    return _object(
        {
            "hash": HASH,
            "author": WHOLE,
            "index": WHOLE,
            "height": WHOLE,
            "anchor_sequence": WHOLE,
            "parents": _array(HASH),
            "timestamp_ms": WHOLE,
            "transaction_count": WHOLE,
            "payload_bytes": WHOLE,
            "sequence": MAYBE_WHOLE,
            "position": MAYBE_WHOLE,
            "signature": BASE64,
        }
    )


def _status() -> Schema:
    texts = ("chain_id", "name", "version", "reason", "tolerance")
    flags = ("view_open", "ready")
    wholes = (
        "index", "view", "leader", "final", "stable", "in_flight", "executed_transactions",
        "waiting_transactions", "validators", "quorum", "faults", "connected", "uptime_ms",
    )  # fmt: skip
    return _object(
        {
            "node_id": HASH,
            **dict.fromkeys(texts, TEXT),
            **dict.fromkeys(flags, FLAG),
            **dict.fromkeys(wholes, WHOLE),
        }
    )


def _validator() -> Schema:
    member = {"index": WHOLE, "name": TEXT, "node_id": HASH, "address": TEXT}
    return _object({**member, "public_key": BASE64})


def _peer() -> Schema:
    return _object(
        {
            "index": WHOLE,
            "name": TEXT,
            "node_id": HASH,
            "address": TEXT,
            "connected": FLAG,
            "round_trip_ms": MAYBE_NUMBER,
            "silence_ms": MAYBE_NUMBER,
            "backlog_bytes": WHOLE,
            "view": MAYBE_WHOLE,
            "final": MAYBE_WHOLE,
            "last_error": TEXT,
        }
    )


def _judgement_schemas() -> dict[str, Json]:
    who: dict[str, Schema] = {"validator": WHOLE, "name": TEXT}
    words = ("name", "contradiction", "first", "second")
    piece: dict[str, Schema] = {"id": HASH, "author": WHOLE, **dict.fromkeys(words, TEXT)}
    violation = {**who, "at_ms": WHOLE, "type": TEXT, "detail": TEXT}
    score: Schema = {"type": "number", "minimum": 0, "maximum": 1}
    judged = {**who, "node_id": HASH, "score": score, "banned": FLAG}
    counted = {**judged, "violations": WHOLE, "evidence": WHOLE}
    ban: dict[str, Schema] = {
        **who,
        "node_id": HASH,
        "since_ms": WHOLE,
        "until_ms": MAYBE_WHOLE,
        "by": {"type": "string", "enum": ["detector", "operator"]},
        "reason": TEXT,
        "in_force": FLAG,
    }
    file: dict[str, Schema] = {"format": TEXT, "version": WHOLE, "chain_id": TEXT, **piece}
    return {
        "Reputation": _object({"reputation": _array(_object(counted))}),
        "Violations": _object({"violations": _array(_object(violation))}),
        "Bans": _object({"bans": _array(_object(ban))}),
        "EvidenceList": _object({"evidence": _array(_object(piece))}),
        "Evidence": _object({**file, "evidence": BASE64}),
    }


def _plain(name: str, summary: str, schema: str, errors: list[str] | None = None) -> Schema:
    return _operation(name, summary, "", {"200": _json(summary + ".", schema)}, errors or [], [])


def _operation(
    name: str,
    summary: str,
    description: str,
    answers: dict[str, Schema],
    errors: list[str],
    parameters: list[Schema],
) -> Schema:
    responses: dict[str, Json] = {**answers}
    for status in errors:
        meanings = [t for s, t in PROBLEMS.values() if str(s) == status]
        responses[status] = {
            "description": "; ".join(meanings) + ".",
            "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}},
        }
    responses["default"] = {
        "description": "Any other problem.",
        "content": {PROBLEM_TYPE: {"schema": _ref("Problem")}},
    }
    operation: Schema = {"operationId": name, "summary": summary, "responses": responses}
    if description:
        operation["description"] = description
    if parameters:
        operation["parameters"] = parameters
    return operation


def _query(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _path(name: str, description: str, schema: Schema) -> Schema:
    return {**_query(name, description, schema), "in": "path", "required": True}


def _json(description: str, *schemas: str) -> Schema:
    one_of: list[Json] = [_ref(name) for name in schemas]
    schema: Json = one_of[0] if len(one_of) == 1 else {"oneOf": one_of}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(properties: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": {**properties},
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
