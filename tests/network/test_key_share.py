import pytest

from cretonode.errors import MalformedMessage
from cretonode.network.key_share import (
    CIPHERTEXT_BYTES,
    CLIENT_SHARE_BYTES,
    ENCAPSULATION_KEY_BYTES,
    SERVER_SHARE_BYTES,
    ClientShare,
    answer_untrusted,
)


def test_both_sides_arrive_at_one_secret() -> None:
    client = ClientShare.generate()
    share, secret = answer_untrusted(client.public)
    assert len(client.public) == CLIENT_SHARE_BYTES == 1216
    assert len(share) == SERVER_SHARE_BYTES == 1120
    assert client.finish_untrusted(share) == secret
    assert len(secret) == 64


@pytest.mark.parametrize(
    "position", [0, CIPHERTEXT_BYTES + 5], ids=["the ML-KEM half", "the X25519 half"]
)
def test_each_half_alone_decides_the_secret(position: int) -> None:
    client = ClientShare.generate()
    share, secret = answer_untrusted(client.public)
    spoiled = bytearray(share)
    spoiled[position] ^= 1
    assert client.finish_untrusted(bytes(spoiled)) != secret


def test_an_all_zero_point_is_refused_on_both_sides() -> None:
    """draft-ietf-tls-ecdhe-mlkem: abort when X25519 gives zero."""
    client = ClientShare.generate()
    share, _ = answer_untrusted(client.public)
    with pytest.raises(MalformedMessage):
        answer_untrusted(client.public[:ENCAPSULATION_KEY_BYTES] + bytes(32))
    with pytest.raises(MalformedMessage):
        client.finish_untrusted(share[:CIPHERTEXT_BYTES] + bytes(32))


def test_an_encapsulation_key_that_is_not_reduced_is_refused() -> None:
    """FIPS 203, section 7.2: the modulus check."""
    client = ClientShare.generate()
    with pytest.raises(MalformedMessage):
        answer_untrusted(b"\xff" * ENCAPSULATION_KEY_BYTES + client.public[-32:])


@pytest.mark.parametrize("change", [-1, 1], ids=["short", "long"])
def test_shares_of_another_length_are_refused(change: int) -> None:
    client = ClientShare.generate()
    with pytest.raises(MalformedMessage):
        answer_untrusted(bytes(CLIENT_SHARE_BYTES + change))
    with pytest.raises(MalformedMessage):
        client.finish_untrusted(bytes(SERVER_SHARE_BYTES + change))
