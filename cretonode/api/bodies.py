"""Transactions in the body of a request: raw octets, JSON or CBOR.

Written for batches: one slice for each transaction and no other object. The CBOR reader is our
own because the two shapes it takes need 40 lines, and a general decoder lets a stranger choose
among tags that cost far more than the bytes they arrive in.
Source: RFC 8949 section 3 (CBOR), RFC 4648 section 4 (base64).
"""

import binascii
import json
from typing import Final

from cretonode.api.problems import Problem
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX

RAW: Final = "application/octet-stream"
JSON: Final = "application/json"
CBOR: Final = "application/cbor"
JSON_KEYS: Final = ("transaction", "text", "transactions")

BYTE_STRING: Final = 2  # CBOR major types
ARRAY: Final = 4
CBOR_SHAPE: Final = "expected one byte string, or an array of byte strings, of definite lengths"


def decode_transactions_untrusted(content_type: str, body: bytes) -> list[bytes]:
    """Return the transactions of a body, at least one, each within its bounds.

    Raises: Problem.
    """
    match content_type:
        case "application/octet-stream":
            transactions = [body]
        case "application/json":
            transactions = decode_json_untrusted(body)
        case "application/cbor":
            transactions = decode_cbor_untrusted(body)
        case _:
            raise Problem(
                "unsupported-media-type",
                f"content type {content_type[:100] or 'missing'!r}; expected {RAW} (one"
                f" transaction as it is), {JSON} or {CBOR}",
            )
    _check_sizes(transactions)
    return transactions


def decode_json_untrusted(body: bytes) -> list[bytes]:
    """Return the transactions of {"transaction": ...}, {"text": ...} or {"transactions": [...]}.

    Raises: Problem.
    """
    try:
        document: object = json.loads(body.decode(), object_pairs_hook=_object_untrusted)
    except json.JSONDecodeError as error:
        raise _malformed(f"JSON, line {error.lineno} column {error.colno}: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise _malformed(f"JSON is not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, a thousand brackets
        raise _malformed(f"JSON is not acceptable: {type(error).__name__}") from None
    if not isinstance(document, dict) or len(document) != 1:
        raise _malformed(f"JSON: expected an object with exactly one of {', '.join(JSON_KEYS)}")
    key, value = next(iter(document.items()))
    match key:
        case "transaction":
            return [_decode_base64(value, where=key)]
        case "text":
            return [_encode_text(value)]
        case "transactions":
            return _decode_each(value)
        case _:
            raise _malformed(f"JSON key {str(key)[:40]!r}; expected one of {', '.join(JSON_KEYS)}")


def decode_cbor_untrusted(body: bytes) -> list[bytes]:
    """Return the byte string, or the byte strings of the array, that `body` is.

    Raises: Problem.
    """
    if not body:
        raise _malformed(f"CBOR: the body is empty; {CBOR_SHAPE}")
    count, offset = 1, 0
    if body[0] >> 5 == ARRAY:
        count, offset = _cbor_head(body, 0, ARRAY)
        _check_count(count)
    transactions: list[bytes] = []
    append = transactions.append
    for _ in range(count):
        # The common head, a length of two bytes, is read here: a call for each would cost more.
        if body[offset : offset + 1] == b"\x59" and offset + 3 <= len(body):
            length = body[offset + 1] << 8 | body[offset + 2]
            start = offset + 3
        else:
            length, start = _cbor_head(body, offset, BYTE_STRING)
        offset = start + length
        append(body[start:offset])
    # A slice past the end is short, and only the last ones can be, so one check covers all.
    if offset > len(body):
        raise _malformed(f"CBOR ends at byte {len(body)}, but its lengths promise {offset} or more")
    if offset < len(body):
        raise _malformed(f"CBOR: {len(body) - offset} bytes too many, from byte {offset}")
    return transactions


def _decode_each(value: object) -> list[bytes]:
    if not isinstance(value, list):
        raise _malformed("JSON: transactions is not an array; expected base64 strings in an array")
    _check_count(len(value))
    try:
        # Strict: no stray characters, no missing padding. `str` also refuses all but strings.
        transactions = [binascii.a2b_base64(item, strict_mode=True) for item in value]
    except (ValueError, TypeError):
        for position, item in enumerate(value):
            _decode_base64(item, where=f"transactions[{position}]")
        raise
    for position, (item, transaction) in enumerate(zip(value, transactions, strict=True)):
        _check_base64(item, transaction, where=f"transactions[{position}]")
    return transactions


def _decode_base64(value: object, *, where: str) -> bytes:
    if not isinstance(value, str):
        raise _malformed(f"JSON: {where} is not a string; expected base64")
    try:
        data = binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        raise _malformed(f"JSON: {where} is not base64: {error}") from None
    _check_base64(value, data, where=where)
    return data


def _check_base64(text: str, data: bytes, *, where: str) -> None:
    """Refuse a last digit with bits that no byte has: each transaction has one text."""
    if text.endswith("=") and binascii.b2a_base64(data[-(len(data) % 3) :], newline=False) != (
        text[-4:].encode()
    ):
        raise _malformed(f"JSON: {where} is not the one base64 text for its bytes")


def _object_untrusted(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"JSON: an object has the key {name[:40]!r} twice")
    return found


def _encode_text(value: object) -> bytes:
    if not isinstance(value, str):
        raise _malformed("JSON: text is not a string")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise _malformed(f"JSON: text has half a surrogate pair at {error.start}") from None


def _cbor_head(body: bytes, offset: int, major: int) -> tuple[int, int]:
    """Return the length that the head at `offset` states, and where its data begin."""
    if offset >= len(body):
        raise _malformed(f"CBOR ends at byte {len(body)}, too early; {CBOR_SHAPE}")
    initial = body[offset]
    additional = initial & 0x1F
    if initial >> 5 != major or additional > 27:
        raise _malformed(f"CBOR, byte {offset} is 0x{initial:02x}; {CBOR_SHAPE}")
    start = offset + 1
    if additional < 24:
        return additional, start
    width = 1 << (additional - 24)
    if start + width > len(body):
        raise _malformed(f"CBOR ends at byte {len(body)}, within a length")
    return int.from_bytes(body[start : start + width], "big"), start + width


def _check_count(count: int) -> None:
    if not 1 <= count <= PAYLOAD_TRANSACTIONS_MAX:
        raise Problem(
            "invalid-transaction",
            f"{count} transactions in one request; expected 1 to {PAYLOAD_TRANSACTIONS_MAX}",
        )


def _check_sizes(transactions: list[bytes]) -> None:
    sizes = list(map(len, transactions))
    if min(sizes) >= 1 and max(sizes) <= TRANSACTION_BYTES_MAX:
        return
    position = next(i for i, size in enumerate(sizes) if not 1 <= size <= TRANSACTION_BYTES_MAX)
    raise Problem(
        "invalid-transaction",
        f"transaction {position} of {len(sizes)} (counted from 0) has {sizes[position]} bytes;"
        f" expected 1 to {TRANSACTION_BYTES_MAX}",
    )


def _malformed(detail: str) -> Problem:
    return Problem("malformed-request", detail)
