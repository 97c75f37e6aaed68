"""The OpenAPI document says what the interface does: the same routes, the same answers."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict

import httpx
import pytest

from cretonode.api.application import make_application
from cretonode.api.problems import PROBLEMS
from cretonode.api.waits import Waits
from cretonode.crypto.hashing import hash_of
from tests.api.fakes import EVIDENCE_ID, MemoryNode
from tests.api.serving import LOOPBACK, in_process

Document = dict[str, "Document"]
KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list,
    "object": dict, "null": type(None),
}  # fmt: skip
HELLO = hash_of(b"hello").hex()


async def read_document() -> Document:
    async with in_process(MemoryNode()) as client:
        document: Document = (await client.get("/openapi.json")).json()
    return document


def faults(value: object, schema: dict[str, object], document: Document) -> Iterator[str]:
    """Yield where `value` departs from `schema`: as much of JSON Schema as the document uses."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schemas: dict[str, dict[str, object]] = document["components"]["schemas"]  # type: ignore[assignment]
        schema = schemas[reference.removeprefix("#/components/schemas/")]
    options = schema.get("oneOf")
    if isinstance(options, list):
        if sum(not list(faults(value, option, document)) for option in options) != 1:
            yield f"not exactly one of {options} fits {value}"
        return
    kinds = schema.get("type", list(KINDS))
    names = [str(kind) for kind in kinds] if isinstance(kinds, list) else [str(kinds)]
    if not any(isinstance(value, KINDS[n]) for n in names) or (
        isinstance(value, bool) and "boolean" not in names
    ):
        yield f"{value!r} is no {kinds}"
    pattern = schema.get("pattern")
    if isinstance(value, str) and isinstance(pattern, str) and not re.search(pattern, value):
        yield f"{value!r} does not match {pattern}"
    if "enum" in schema and value not in schema["enum"]:  # type: ignore[operator]
        yield f"{value!r} is not listed"
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        for item in value:
            yield from faults(item, items, document)
    if isinstance(value, dict) and isinstance(properties := schema.get("properties"), dict):
        yield from (f"{n} is missing" for n in schema["required"] if n not in value)  # type: ignore[attr-defined]
        for name, member in value.items():
            if name in properties:
                yield from faults(member, properties[name], document)
            elif schema.get("additionalProperties") is False and name != "error_id":
                yield f"{name} is not foreseen"


async def test_the_document_lists_exactly_the_routes() -> None:
    document = await read_document()
    node = MemoryNode()
    application = make_application(node, LOOPBACK, Waits(node, 1))
    routed = {
        (method.lower(), re.sub(r"<(\w+?)_?>", r"{\1}", rule.rule))
        for rule in application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    listed = {(method, path) for path, item in document["paths"].items() for method in item}
    assert listed == routed
    names = [operation["operationId"] for item in document["paths"].values()
             for operation in item.values()]  # fmt: skip
    assert sorted(map(str, names)) == sorted(application.view_functions)


async def ask(client: httpx.AsyncClient, method: str, path: str, body: object) -> httpx.Response:
    if "evidence" in path:
        path = path.replace("{id}", EVIDENCE_ID.hex())
    filled = path.replace("{id}", HELLO).replace("{sequence}", "1")
    filled = filled.replace("{hash}", hash_of(b"vertex 0").hex())
    return await client.request(method, filled, json=body)


@pytest.mark.parametrize("instant", [False, True], ids=["before it is final", "when it is final"])
async def test_every_answer_is_one_that_the_document_describes(*, instant: bool) -> None:
    document = await read_document()
    node = MemoryNode(instant=instant)
    async with in_process(node) as client:
        await client.post("/v1/transactions", json={"text": "hello"})
        for path, item in document["paths"].items():
            for method in item:
                for query in ("", "?wait=1") if "transactions" in path else ("",):
                    body = {"text": "more"} if method == "post" else None
                    response = await ask(client, method, path + query, body)
                    check_described(response, document, path, method)


async def test_every_problem_is_one_that_the_document_describes() -> None:
    document = await read_document()
    node = MemoryNode(ready=False, reason="why not", waiting_max=0)
    async with in_process(node) as client:
        for response, path, method in (
            (await client.post("/v1/transactions"), "/v1/transactions", "post"),
            (await client.post("/v1/transactions", json={}), "/v1/transactions", "post"),
            (await client.post("/v1/transactions", json={"text": "a"}), "/v1/transactions", "post"),
            (await client.get(f"/v1/vertices/{HELLO}"), "/v1/vertices/{hash}", "get"),
            (await client.get("/v1/finalized/x"), "/v1/finalized/{sequence}", "get"),
            (await client.get("/readyz"), "/readyz", "get"),
        ):
            assert response.is_error
            check_described(response, document, path, method)


def check_described(response: httpx.Response, document: Document, path: str, method: str) -> None:
    described = document["paths"][path][method]["responses"][str(response.status_code)]["content"]
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in described, (path, response.text)
    if kind.endswith("json"):
        schema: dict[str, object] = described[kind]["schema"]  # type: ignore[assignment]
        assert list(faults(json.loads(response.content), schema, document)) == []


async def test_the_document_lists_every_problem() -> None:
    document = await read_document()
    listed = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert [str(name).rpartition(":")[2] for name in listed] == list(PROBLEMS)


async def test_views_are_shown_with_every_field() -> None:
    """A field added to a view and forgotten here would go unnoticed otherwise."""
    node = MemoryNode(instant=True)
    await node.submit([b"hello"])
    async with in_process(node) as client:
        status = (await client.get("/v1/status")).json()
        finalized = (await client.get("/v1/finalized/1")).json()
        (tip,) = (await client.get("/v1/tips")).json()["tips"]
        peer = (await client.get("/v1/peers")).json()["peers"][0]
        validator = (await client.get("/v1/validators")).json()["validators"][0]
        violation = (await client.get("/v1/violations")).json()["violations"][0]
        score = (await client.get("/v1/reputation")).json()["reputation"][0]
        ban = (await client.get("/v1/bans")).json()["bans"][0]
        piece = (await client.get("/v1/evidence")).json()["evidence"][0]
        transaction = (await client.get(f"/v1/transactions/{HELLO}")).json()
    for shown, view in (
        (status, node.status()),
        (finalized, node.sequences[0]),
        (tip, node.vertices[0]),
        (peer, node.peers()[0]),
        (validator, node.validators()[0]),
        (violation, node.violations()[0]),
        (score, node.reputation()[0]),
        (ban, node.bans()[0]),
        (piece, node.evidence()[0]),
    ):
        assert set(shown) == set(asdict(view))
    assert set(transaction) == {"final", *asdict(next(iter(node.transactions.values())))}
