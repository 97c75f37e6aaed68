"""The checked-in test vectors: whatever changes the format by accident fails here."""

import json
import re
from typing import Any

import pytest

from cretonode.core.messages import Message
from cretonode.core.records import Record
from cretonode.crypto.hashing import hash_many, hash_of, tree_root
from cretonode.dag.vertex import header_untrusted
from cretonode.limits import (
    FETCH_HASHES_MAX,
    FETCH_SLOTS_MAX,
    FRAME_BYTES_MAX,
    MESSAGE_DEPTH_MAX,
    PARENTS_MAX,
    PAYLOAD_BYTES_MAX,
    PAYLOAD_TRANSACTIONS_MAX,
    SIGNATURE_BYTES,
    TRANSACTION_BYTES_MAX,
    VALIDATORS_MAX,
)
from cretonode.wire.frames import BUNDLE_MESSAGES_MAX, pack_frames, unpack_frame_untrusted
from cretonode.wire.hello import HELLO_BYTES_MAX, decode_hello_untrusted, encode_hello
from cretonode.wire.messages import (
    BITMAP_BYTES_MAX,
    HEADER_BYTES_MAX,
    decode_message_untrusted,
    encode_message,
)
from cretonode.wire.messages import NUMBERS as MESSAGE_NUMBERS
from cretonode.wire.records import NUMBERS as RECORD_NUMBERS
from cretonode.wire.records import decode_record, encode_record
from cretonode.wire.tagged import MESSAGE_BYTES_MAX, STATUS_SLOTS_MAX, VALUES_MAX
from tests.wire import vectors


def read(name: str) -> Any:
    return json.loads((vectors.FOLDER / name).read_text(encoding="utf-8"))


def entries(name: str) -> pytest.MarkDecorator:
    found = read(name)
    return pytest.mark.parametrize("entry", found, ids=[entry["name"] for entry in found])


@entries("messages.json")
def test_a_message_of_the_vectors_reads_and_writes_the_same(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["bytes"])
    message = decode_message_untrusted(data)
    assert vectors.described(message) == entry["value"]
    assert encode_message(message) == data


@entries("records.json")
def test_a_record_of_the_vectors_reads_and_writes_the_same(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["bytes"])
    record = decode_record(data)
    assert vectors.described(record) == entry["value"]
    assert encode_record(record) == data


@entries("hellos.json")
def test_a_hello_of_the_vectors_reads_and_writes_the_same(entry: dict[str, Any]) -> None:
    data = bytes.fromhex(entry["bytes"])
    hello = decode_hello_untrusted(data)
    assert vectors.described(hello) == entry["value"]
    assert encode_hello(hello) == data


def test_the_frames_of_the_vectors_are_packed_so() -> None:
    for entry in read("frames.json"):
        messages = [bytes.fromhex(message) for message in entry["messages"]]
        frames = [bytes.fromhex(frame) for frame in entry["frames"]]
        assert list(pack_frames(messages, entry["frame_bytes_max"])) == frames
        assert [m for frame in frames for m in unpack_frame_untrusted(frame)] == messages


def test_the_payload_roots_of_the_vectors_are_those_of_the_tree() -> None:
    for entry in read("payload_roots.json"):
        ids = hash_many([i.to_bytes(4, "big") for i in range(entry["transactions"])])
        assert tree_root(ids).hex() == entry["root"]


def test_a_vertex_of_the_vectors_hashes_to_its_name() -> None:
    for entry in read("messages.json"):
        if entry["value"]["type"] == "VertexMessage":
            value = entry["value"]["vertex"]
            message = decode_message_untrusted(bytes.fromhex(entry["bytes"]))
            header = message.vertex.header()  # type: ignore[union-attr]
            assert hash_of(header).hex() == value["hash"]
            assert header_untrusted(header).hash.hex() == value["hash"]


@pytest.mark.parametrize("name", list(vectors.files()))
def test_the_code_still_makes_the_vectors(name: str) -> None:
    kept = (vectors.FOLDER / name).read_text(encoding="utf-8")
    assert vectors.text_of(vectors.files()[name]) == kept


def test_no_vector_file_is_forgotten() -> None:
    assert {path.name for path in vectors.FOLDER.glob("*.json")} == set(vectors.files())


def test_the_vectors_show_every_message_and_record() -> None:
    assert {type(message) for message in vectors.MESSAGES.values()} == set(MESSAGE_NUMBERS)
    assert {type(record) for record in vectors.RECORDS.values()} == set(RECORD_NUMBERS)


# --- the documents

SPECIFICATION = vectors.FOLDER.parent


def words_of(name: str) -> str:
    """`PrePrepare` is `pre-prepare` in the documents."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


NUMBERED: list[tuple[type[Message] | type[Record], int]] = [
    *MESSAGE_NUMBERS.items(),
    *RECORD_NUMBERS.items(),
]


@pytest.mark.parametrize(("kind", "number"), NUMBERED, ids=[kind.__name__ for kind, _ in NUMBERED])
def test_the_documents_give_each_type_its_number(
    kind: type[Message] | type[Record], number: int
) -> None:
    words = words_of(kind.__name__)
    if words == "vertex-message":
        words = "vertex"
    table = (SPECIFICATION / "wire.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| {number} \| {words} \|", table, re.MULTILINE), (number, words)
    grammar = (SPECIFICATION / "wire.cddl").read_text(encoding="utf-8")
    assert re.search(rf"^{words} = \[{number},", grammar, re.MULTILINE), (number, words)


BOUNDS = {
    "validators": VALIDATORS_MAX,
    "frame": FRAME_BYTES_MAX,
    "messages in a frame": BUNDLE_MESSAGES_MAX,
    "message": MESSAGE_BYTES_MAX,
    "array items in one message or record": VALUES_MAX,
    "nesting": MESSAGE_DEPTH_MAX,
    "hello": HELLO_BYTES_MAX,
    "header": HEADER_BYTES_MAX,
    "payload": PAYLOAD_BYTES_MAX,
    "transaction": TRANSACTION_BYTES_MAX,
    "parents": PARENTS_MAX,
    "signature": SIGNATURE_BYTES,
    "votes, timeouts, newest, incarnations": VALIDATORS_MAX,
    "bitmap": BITMAP_BYTES_MAX,
    "slots in a status": STATUS_SLOTS_MAX,
    "hashes in a request": FETCH_HASHES_MAX,
    "sequences in a request": FETCH_SLOTS_MAX,
}


def test_the_specification_states_the_bounds_of_the_code() -> None:
    text = (SPECIFICATION / "wire.md").read_text(encoding="utf-8")
    section = text.partition("## 9. Bounds")[2].partition("## 10.")[0]
    rows = re.findall(r"^\| ([a-z, ]+) \| ([\d,]+)", section, re.MULTILINE)
    assert {what: int(bound.replace(",", "")) for what, bound in rows} == BOUNDS
    assert f"{PAYLOAD_TRANSACTIONS_MAX:,} transactions" in section


def test_every_name_in_the_grammar_is_defined() -> None:
    grammar = (SPECIFICATION / "wire.cddl").read_text(encoding="utf-8")
    grammar = re.sub(r";.*", "", grammar)
    defined = set(re.findall(r"^([a-z][a-z-]*) =", grammar, re.MULTILINE))
    labels = set(re.findall(r"([a-z][a-z_-]*):", grammar))
    used = set(re.findall(r"(?<![\".\w-])[a-z][a-z_-]*", re.sub(r'"[^"]*"', "", grammar)))
    known = {"bstr", "tstr", "uint", "bool", "nil"}
    assert used - labels - known <= defined, used - labels - known - defined
