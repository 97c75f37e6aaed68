"""The hello of a connection. Source of every claim: docs/spec/wire.md, section 6."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cretonode.core.committee import Committee, Parameters
from cretonode.crypto.canonical import Value, decode_untrusted, encode
from cretonode.errors import MalformedMessage, OtherIncarnation, PeerError
from cretonode.identifiers import (
    PROTOCOL_VERSION,
    ChainId,
    Digest,
    Incarnation,
    VertexHash,
)
from cretonode.limits import VALIDATORS_MAX
from cretonode.wire.hello import (
    HELLO_BYTES_MAX,
    Hello,
    check_hello,
    decode_hello_untrusted,
    encode_hello,
    hello_of,
)
from tests.wire.hostile import (
    FORBIDDEN,
    NOISE,
    damaged,
    decodes_or_refuses,
    forbidden,
    rebuilt,
)
from tests.wire.strategies import HELLOS

COMMITTEE = Committee(
    chain_id=ChainId("berlin"),
    size=4,
    genesis=VertexHash(b"g" * 32),
    validator_set=Digest(b"v" * 32),
    parameters=Parameters(),
    incarnations=(Incarnation(0),) * 4,
)
OWN = hello_of(COMMITTEE, "cretonode 0.1.0")


def test_a_node_says_what_its_committee_says() -> None:
    assert (
        Hello(
            version=PROTOCOL_VERSION,
            chain_id=COMMITTEE.chain_id,
            genesis=COMMITTEE.genesis,
            validator_set=COMMITTEE.validator_set,
            incarnations=COMMITTEE.incarnations,
            software="cretonode 0.1.0",
        )
        == OWN
    )


@given(HELLOS)
@settings(max_examples=100, deadline=None)
def test_a_hello_survives_its_encoding(hello: Hello) -> None:
    assert decode_hello_untrusted(encode_hello(hello)) == hello


def test_the_longest_hello_is_read() -> None:
    hello = replace(
        OWN,
        version=2**63 - 1,
        chain_id=ChainId("\U0001f511" * 64),
        incarnations=(Incarnation(2**63 - 1),) * VALIDATORS_MAX,
        software="s" * 64,
    )
    encoded = encode_hello(hello)
    assert len(encoded) <= HELLO_BYTES_MAX
    assert decode_hello_untrusted(encoded) == hello


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_or_the_one_encoding_of_a_hello(data: st.DataObject) -> None:
    encoded = encode_hello(data.draw(HELLOS))
    hostile = data.draw(damaged(encoded) | rebuilt(encoded) | NOISE)
    decodes_or_refuses(hostile, decode_hello_untrusted, encode_hello, MalformedMessage)


@pytest.mark.parametrize("form", FORBIDDEN[1:])  # the first item is a text and no number
@given(hello=HELLOS)
@settings(max_examples=10, deadline=None)
def test_no_hello_has_a_second_encoding(form: str, hello: Hello) -> None:
    encoded = encode_hello(hello)
    hostile = forbidden(decode_untrusted(encoded), form)
    assume(hostile != encoded)
    with pytest.raises(MalformedMessage):
        decode_hello_untrusted(hostile)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, "cretonode"),
        (0, b"cretonode hello"),
        (1, 2**63),
        (1, True),
        (2, ""),
        (2, "c" * 65),
        (2, "a\x1b[2J"),
        (2, b"berlin"),
        (3, b"g" * 31),
        (4, b"v" * 33),
        (5, []),
        (5, [0] * (VALIDATORS_MAX + 1)),
        (5, [True]),
        (5, 0),
        (6, ""),
        (6, "s" * 65),
        (6, "cretonode\n0.1"),
        (6, "crétonode"),
        (6, "s" * HELLO_BYTES_MAX),
    ],
)
def test_a_field_out_of_its_bounds_is_refused(at: int, value: Value) -> None:
    items = decode_untrusted(encode_hello(OWN))
    assert isinstance(items, list)
    with pytest.raises(MalformedMessage):
        decode_hello_untrusted(encode([*items[:at], value, *items[at + 1 :]]))


def test_a_hello_is_measured_before_it_is_read() -> None:
    with pytest.raises(MalformedMessage, match=f"at most {HELLO_BYTES_MAX}"):
        decode_hello_untrusted(bytes(HELLO_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "hello",
    [
        replace(OWN, software="two\nlines"),
        replace(OWN, software="crétonode"),
        replace(OWN, software="s" * 65),
        replace(OWN, chain_id=ChainId("")),
        replace(OWN, incarnations=()),
    ],
    ids=["newline", "not ASCII", "long", "no chain", "no validators"],
)
def test_a_hello_that_every_peer_would_refuse_is_our_own_bug(hello: Hello) -> None:
    with pytest.raises(AssertionError):
        encode_hello(hello)


def test_two_nodes_of_one_chain_go_on_whatever_their_software() -> None:
    check_hello(OWN, replace(OWN, software="another 9"))


@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        (
            replace(OWN, version=2, chain_id=ChainId("x"), software="cretonode 2.0"),
            "the peer (cretonode 2.0) speaks protocol version 2, this node 1",
        ),
        (
            replace(OWN, chain_id=ChainId("paris")),
            "the peer is on chain 'paris', this node on 'berlin'",
        ),
        (
            replace(OWN, genesis=VertexHash(b"h" * 32)),
            "the peer has another genesis document: 68686868, this node 67676767",
        ),
        (
            replace(OWN, validator_set=Digest(b"w" * 32)),
            "the peer has another validator set: 77777777, this node 76767676",
        ),
        (
            replace(OWN, incarnations=(Incarnation(0), Incarnation(0), Incarnation(1))),
            "the peer counts incarnations of 3 validators, this node of 4",
        ),
        (
            replace(OWN, incarnations=tuple(map(Incarnation, (0, 0, 1, 0)))),
            (
                "the peer knows incarnation 1 of validator 2, this node 0; "
                "one of the two has missed a recovery"
            ),
        ),
    ],
    ids=["version", "chain", "genesis", "validator set", "validators", "incarnation"],
)
def test_the_first_difference_is_named_in_a_sentence(theirs: Hello, sentence: str) -> None:
    with pytest.raises(PeerError) as caught:
        check_hello(OWN, theirs)
    assert str(caught.value) == sentence
    if isinstance(caught.value, OtherIncarnation):
        assert caught.value.incarnation == 1
    fault = isinstance(caught.value, MalformedMessage)
    assert not fault, "an honest peer may differ: no misbehaviour"
