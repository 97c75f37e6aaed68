"""The hello: the first thing each side says on a stream, and whether the two may go on.

It says what every signed statement binds, so that a difference is named once, in words, and not
met again as a thousand bad signatures. Pure. Source: docs/spec/wire.md, section 6.
"""

from dataclasses import dataclass
from typing import Final

from cretonode.core.committee import Committee
from cretonode.crypto.canonical import decode_untrusted, encode
from cretonode.errors import MalformedMessage, OtherIncarnation, PeerError
from cretonode.identifiers import (
    PROTOCOL_VERSION,
    ChainId,
    Digest,
    Incarnation,
    VertexHash,
    short,
)
from cretonode.limits import VALIDATORS_MAX
from cretonode.wire import fields

DOMAIN: Final = "cretonode hello"
CHAIN_ID_CHARACTERS_MAX: Final = 64
SOFTWARE_CHARACTERS_MAX: Final = 64
HELLO_BYTES_MAX: Final = 2048
ITEMS: Final = 7

# No character of a text takes more than four bytes, no number more than nine.
assert (
    4 * (CHAIN_ID_CHARACTERS_MAX + SOFTWARE_CHARACTERS_MAX) + 9 * VALIDATORS_MAX + 128
    <= HELLO_BYTES_MAX
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What one side of a connection is and believes. The layout outlives protocol versions."""

    version: int
    chain_id: ChainId
    genesis: VertexHash
    validator_set: Digest
    incarnations: tuple[Incarnation, ...]  # of every validator: each signs under its own
    software: str  # for people: name and version, printable ASCII


def hello_of(committee: Committee, software: str) -> Hello:
    """Return the hello of this node."""
    return Hello(
        version=PROTOCOL_VERSION,
        chain_id=committee.chain_id,
        genesis=committee.genesis,
        validator_set=committee.validator_set,
        incarnations=committee.incarnations,
        software=software,
    )


def encode_hello(hello: Hello) -> bytes:
    """Return the one encoding of `hello`."""
    assert 1 <= len(hello.chain_id) <= CHAIN_ID_CHARACTERS_MAX, hello.chain_id
    assert hello.chain_id.isprintable(), hello.chain_id
    assert 1 <= len(hello.software) <= SOFTWARE_CHARACTERS_MAX, hello.software
    assert hello.software.isascii(), hello.software
    assert hello.software.isprintable(), hello.software
    assert 1 <= len(hello.incarnations) <= VALIDATORS_MAX, hello.incarnations
    return encode(
        [
            DOMAIN,
            hello.version,
            hello.chain_id,
            hello.genesis,
            hello.validator_set,
            hello.incarnations,
            hello.software,
        ]
    )


def decode_hello_untrusted(data: bytes) -> Hello:
    """Return the hello whose one encoding is `data`, of whatever protocol version.

    Raises: MalformedMessage.
    """
    if len(data) > HELLO_BYTES_MAX:
        raise MalformedMessage(f"a hello of {len(data)} bytes; at most {HELLO_BYTES_MAX}")
    items = fields.items_untrusted("a hello", decode_untrusted(data), ITEMS)
    domain, version, chain_id, genesis, validator_set, incarnations, software = items
    if domain != DOMAIN:
        raise MalformedMessage(f"the first word is not {DOMAIN!r}")
    text = fields.text_untrusted("software", software, SOFTWARE_CHARACTERS_MAX)
    if not text.isascii():
        raise MalformedMessage("the software is not named in ASCII")
    return Hello(
        version=fields.number_untrusted("version", version),
        chain_id=ChainId(fields.text_untrusted("chain id", chain_id, CHAIN_ID_CHARACTERS_MAX)),
        genesis=VertexHash(fields.hash_untrusted("genesis", genesis)),
        validator_set=Digest(fields.hash_untrusted("validator set", validator_set)),
        incarnations=tuple(
            Incarnation(fields.number_untrusted("incarnation", item))
            for item in fields.list_untrusted("incarnations", incarnations, VALIDATORS_MAX, 1)
        ),
        software=text,
    )


def check_hello(own: Hello, theirs: Hello) -> None:
    """Return when the two can understand each other's signatures. Software may differ.

    Raises: PeerError, naming the first thing that differs.
    """
    if theirs.version != own.version:
        raise PeerError(
            f"the peer ({theirs.software}) speaks protocol version {theirs.version}, "
            f"this node {own.version}"
        )
    if theirs.chain_id != own.chain_id:
        raise PeerError(f"the peer is on chain {theirs.chain_id!r}, this node on {own.chain_id!r}")
    if theirs.genesis != own.genesis:
        raise PeerError(
            f"the peer has another genesis document: {short(theirs.genesis)}, "
            f"this node {short(own.genesis)}"
        )
    if theirs.validator_set != own.validator_set:
        raise PeerError(
            f"the peer has another validator set: {short(theirs.validator_set)}, "
            f"this node {short(own.validator_set)}"
        )
    _check_incarnations(own.incarnations, theirs.incarnations)


def _check_incarnations(own: tuple[Incarnation, ...], theirs: tuple[Incarnation, ...]) -> None:
    if len(theirs) != len(own):
        raise PeerError(
            f"the peer counts incarnations of {len(theirs)} validators, this node of {len(own)}"
        )
    for validator, (ours, other) in enumerate(zip(own, theirs, strict=True)):
        if ours != other:
            raise OtherIncarnation(
                f"the peer knows incarnation {other} of validator {validator}, this node {ours}; "
                "one of the two has missed a recovery",
                other,
            )
