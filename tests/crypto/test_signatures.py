import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.crypto.hashing import hash_of
from cretonode.crypto.providers import PROVIDER_NAMES
from cretonode.crypto.signatures import (
    ED25519_SIGNATURE_BYTES,
    PUBLIC_KEY_BYTES,
    SEED_BYTES,
    CryptoMode,
    PublicKey,
    SecretKey,
    Signer,
    VerifyingKey,
    signature_bytes,
    verify,
)
from cretonode.errors import ConfigError, MalformedMessage
from cretonode.identifiers import NodeId
from cretonode.limits import SIGNATURE_BYTES

MODES = list(CryptoMode)
KEY = SecretKey(bytes(range(SEED_BYTES)))
OTHER_KEY = SecretKey(bytes(SEED_BYTES))
STATEMENT = b"a statement"
SIGNATURES = {mode: Signer(mode, KEY).sign(STATEMENT) for mode in MODES}
VERIFYING = VerifyingKey(KEY.public_key)
FIELD_PRIME = 2**255 - 19


@pytest.mark.parametrize("mode", MODES)
def test_a_signature_verifies_for_its_key_statement_and_mode(mode: CryptoMode) -> None:
    signature = SIGNATURES[mode]
    assert len(signature) == signature_bytes(mode)
    assert verify(mode, KEY.public_key, STATEMENT, signature)
    assert not verify(mode, OTHER_KEY.public_key, STATEMENT, signature)
    assert not verify(mode, KEY.public_key, STATEMENT + b"\0", signature)
    assert not verify(mode, KEY.public_key, b"", signature)


def test_a_hybrid_signature_is_as_long_as_the_limits_say() -> None:
    assert len(SIGNATURES[CryptoMode.HYBRID]) == SIGNATURE_BYTES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("other", MODES)
def test_no_signature_or_part_of_one_is_valid_in_another_mode(
    mode: CryptoMode, other: CryptoMode
) -> None:
    """Stripping, joining and re-using components (SPEC K1: no peer can be talked down)."""
    if mode is other:
        return
    signature = SIGNATURES[mode]
    parts = (
        signature,
        signature[:ED25519_SIGNATURE_BYTES],
        signature[ED25519_SIGNATURE_BYTES:],
        SIGNATURES[CryptoMode.CLASSICAL] + SIGNATURES[CryptoMode.POST_QUANTUM],
        SIGNATURES[CryptoMode.HYBRID][:ED25519_SIGNATURE_BYTES]
        + SIGNATURES[CryptoMode.POST_QUANTUM],
        SIGNATURES[CryptoMode.CLASSICAL] + SIGNATURES[CryptoMode.HYBRID][ED25519_SIGNATURE_BYTES:],
    )
    assert not any(VERIFYING.verify(other, STATEMENT, part) for part in parts)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, ED25519_SIGNATURE_BYTES), (ED25519_SIGNATURE_BYTES, SIGNATURE_BYTES)],
    ids=["Ed25519", "ML-DSA-87"],
)
def test_a_hybrid_signature_needs_both_components(start: int, stop: int) -> None:
    mine = SIGNATURES[CryptoMode.HYBRID]
    theirs = Signer(CryptoMode.HYBRID, OTHER_KEY).sign(STATEMENT)
    mixed = mine[:start] + theirs[start:stop] + mine[stop:]
    assert not VERIFYING.verify(CryptoMode.HYBRID, STATEMENT, mixed)


def test_both_components_are_over_the_bytes_the_documents_describe() -> None:
    """docs/crypto.md, so that another implementation can be written from it."""
    signature = SIGNATURES[CryptoMode.HYBRID]
    message = b"cretonode signature v1 hybrid\0" + STATEMENT
    Ed25519PublicKey.from_public_bytes(KEY.public_key.ed25519).verify(signature[:64], message)
    MLDSA87PublicKey.from_public_bytes(KEY.public_key.mldsa).verify(
        signature[64:], message, b"cretonode v1 hybrid"
    )


def test_the_bare_statement_is_never_what_is_signed() -> None:
    """A statement that begins like the prefix of another mode does not move into it."""
    prefix = b"cretonode signature v1 "
    statement = prefix + b"hybrid\0" + STATEMENT
    signature = Signer(CryptoMode.CLASSICAL, KEY).sign(statement)
    for shifted in (STATEMENT, prefix + b"classical\0" + statement, statement[1:]):
        assert not VERIFYING.verify(CryptoMode.CLASSICAL, shifted, signature)


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_signature_with_one_bit_changed_is_false(mode: CryptoMode, data: st.DataObject) -> None:
    signature = SIGNATURES[mode]
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    changed = int.from_bytes(signature, "big") ^ (1 << bit)
    assert not VERIFYING.verify(mode, STATEMENT, changed.to_bytes(len(signature), "big"))


@given(st.sampled_from(MODES), st.binary(max_size=80), st.sampled_from([0, 63, 64, 4627, 4691]))
@settings(max_examples=40, deadline=None)
def test_bad_signature_bytes_are_false_and_never_raise(
    mode: CryptoMode, noise: bytes, length: int
) -> None:
    assert not VERIFYING.verify(mode, STATEMENT, noise)
    assert not VERIFYING.verify(mode, STATEMENT, (noise or b"\0") * 4691)
    assert not VERIFYING.verify(mode, STATEMENT, ((noise or b"\0") * 4691)[:length])


def test_an_ed25519_signature_is_not_malleable() -> None:
    """RFC 8032, 5.1.7: S must be below the group order, or S + L would verify as well."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = SIGNATURES[CryptoMode.CLASSICAL]
    s = int.from_bytes(signature[32:], "little") + order
    changed = signature[:32] + s.to_bytes(32, "little")
    assert not VERIFYING.verify(CryptoMode.CLASSICAL, STATEMENT, changed)


@pytest.mark.parametrize("signing", PROVIDER_NAMES)
@pytest.mark.parametrize("verifying", PROVIDER_NAMES)
@pytest.mark.parametrize("mode", MODES)
def test_the_provider_makes_no_difference(signing: str, verifying: str, mode: CryptoMode) -> None:
    signature = Signer(mode, KEY, provider=signing).sign(STATEMENT)
    assert VerifyingKey(KEY.public_key, provider=verifying).verify(mode, STATEMENT, signature)


def test_an_unknown_provider_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="openssl, pqcrypto"):
        Signer(CryptoMode.HYBRID, KEY, provider="other")
    with pytest.raises(ConfigError, match="openssl, pqcrypto"):
        VerifyingKey(KEY.public_key, provider="other")


def test_threads_share_a_signer_and_a_verifying_key() -> None:
    signer = Signer(CryptoMode.HYBRID, KEY)
    statements = [number.to_bytes(2, "big") for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(signer.sign, statements))
        answers = list(
            pool.map(
                lambda pair: VERIFYING.verify(CryptoMode.HYBRID, *pair),
                zip(statements, signatures, strict=True),
            )
        )
    assert all(answers)
    assert not VERIFYING.verify(CryptoMode.HYBRID, statements[0], signatures[1])


def test_a_seed_always_makes_the_same_key() -> None:
    again = SecretKey(bytes(range(SEED_BYTES)))
    assert again == KEY
    assert again != OTHER_KEY
    assert again.public_key == KEY.public_key
    assert KEY.reveal_seed() == KEY.reveal_ed25519_seed() + KEY.reveal_mldsa_seed()


def test_the_node_id_is_the_hash_of_the_post_quantum_key() -> None:
    assert KEY.node_id == KEY.public_key.node_id == NodeId(hash_of(KEY.public_key.mldsa))


def test_a_secret_key_never_shows_its_seed() -> None:
    shown = repr(KEY) + str(KEY) + repr(Signer(CryptoMode.HYBRID, KEY)) + f"{[KEY]}"
    assert KEY.node_id[:4].hex() in shown
    for secret in (KEY.reveal_ed25519_seed(), KEY.reveal_mldsa_seed()):
        assert secret[:4].hex() not in shown
        assert repr(secret[:4])[2:-1] not in shown


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_key_is_not_pickled_or_copied(leak: object) -> None:
    assert callable(leak)
    with pytest.raises(TypeError, match="key store"):
        leak(KEY)


def test_a_public_key_survives_its_encoding() -> None:
    data = KEY.public_key.encode()
    assert len(data) == PUBLIC_KEY_BYTES
    assert PublicKey.decode_untrusted(data) == KEY.public_key
    assert KEY.node_id[:4].hex() in repr(KEY.public_key)


@given(st.binary(max_size=64) | st.binary(min_size=32, max_size=32).map(lambda y: y + bytes(2592)))
def test_any_bytes_are_a_public_key_or_refused(data: bytes) -> None:
    try:
        public_key = PublicKey.decode_untrusted(data)
    except MalformedMessage:
        return
    assert public_key.encode() == data
    for mode in MODES:
        assert not verify(mode, public_key, STATEMENT, SIGNATURES[mode])


def ed25519_of(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def order_8_ys() -> list[int]:
    """Solve the curve equation for the y coordinates of the points of order 8.

    Doubling a point of order 8 gives one of order 4, whose y is 0. So y**2 = -x**2, and the curve
    -x**2 + y**2 = 1 + d x**2 y**2 becomes d y**4 + 2 y**2 - 1 = 0.
    """
    p = FIELD_PRIME
    d = -121665 * pow(121666, -1, p) % p
    root = square_root(1 + d)
    ys = set()
    for sign in (1, -1):
        square = (-1 + sign * root) * pow(d, -1, p) % p
        if pow(square, (p - 1) // 2, p) == 1:
            y = square_root(square)
            ys |= {y, p - y}
    return sorted(ys)


def square_root(value: int) -> int:
    """Return a root modulo the field prime, which is 5 modulo 8."""
    p = FIELD_PRIME
    root = pow(value, (p + 3) // 8, p)
    if root * root % p != value % p:
        root = root * pow(2, (p - 1) // 4, p) % p
    assert root * root % p == value % p
    return root


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize(
    "y", [0, 1, FIELD_PRIME - 1, FIELD_PRIME, FIELD_PRIME + 1, 2**255 - 1, *order_8_ys()]
)
def test_an_ed25519_key_that_needs_no_secret_is_refused(y: int, sign: int) -> None:
    """RFC 8032, 5.1.3, and the points whose order divides 8."""
    assert len(order_8_ys()) == 2
    with pytest.raises(MalformedMessage, match="small order"):
        PublicKey.decode_untrusted(ed25519_of(y, sign) + KEY.public_key.mldsa)
