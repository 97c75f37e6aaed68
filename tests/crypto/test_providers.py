import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.crypto.providers import PROVIDER_NAMES, kem_provider, signature_provider
from cretonode.crypto.providers.interface import (
    ML_DSA_PUBLIC_BYTES,
    ML_DSA_SIGNATURE_BYTES,
    SignatureProvider,
)
from cretonode.crypto.providers.ml_dsa_expand import expand_seed
from cretonode.errors import ConfigError

VECTORS = Path(__file__).parent / "vectors"
BOTH = [(a, b) for a in PROVIDER_NAMES for b in PROVIDER_NAMES]
HINT_BYTES = 83  # omega + k: the hint ends a signature (FIPS 204, algorithm 26)
CHALLENGE_BYTES = 64


def cases_in(name: str) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())["tests"]
    return tests


KNOWN = cases_in("ml_dsa_87_kat.json")


@pytest.fixture(params=PROVIDER_NAMES)
def provider(request: pytest.FixtureRequest) -> SignatureProvider:
    return signature_provider(request.param)


def known(index: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Return public key, message, context and signature of a known answer."""
    fields = ("public_key", "message", "context", "signature")
    public_key, message, context, signature = (bytes.fromhex(KNOWN[index][f]) for f in fields)
    return public_key, message, context, signature


@pytest.mark.parametrize("case", cases_in("ml_dsa_87_acvp_keygen.json"), ids=lambda c: c["tcId"])
def test_key_generation_gives_the_answers_of_acvp(
    provider: SignatureProvider, case: dict[str, Any]
) -> None:
    """NIST ACVP, ML-DSA-keyGen-FIPS204, ML-DSA-87. tr hashes the whole public key."""
    public_key = provider.secret_key(bytes.fromhex(case["seed"])).public_key
    assert public_key[:32] == bytes.fromhex(case["rho"])
    assert hashlib.shake_256(public_key).digest(64) == bytes.fromhex(case["tr"])


@pytest.mark.parametrize("case", cases_in("ml_dsa_87_acvp_keygen.json"), ids=lambda c: c["tcId"])
def test_our_key_expansion_gives_the_answers_of_acvp(case: dict[str, Any]) -> None:
    """NIST ACVP, ML-DSA-keyGen-FIPS204, ML-DSA-87."""
    _public_key, expanded = expand_seed(bytes.fromhex(case["seed"]))
    assert expanded[:128] == bytes.fromhex(case["rho"] + case["K"] + case["tr"])


@pytest.mark.parametrize("case", KNOWN, ids=lambda c: c["count"])
def test_key_generation_gives_the_known_answers(
    provider: SignatureProvider, case: dict[str, Any]
) -> None:
    """Known answers of FIPS 204 from the package cryptography_vectors."""
    key = provider.secret_key(bytes.fromhex(case["seed"]))
    assert key.public_key == bytes.fromhex(case["public_key"])


@pytest.mark.parametrize("case", KNOWN, ids=lambda c: c["count"])
def test_our_key_expansion_gives_the_known_answers(case: dict[str, Any]) -> None:
    """Known answers of FIPS 204 from the package cryptography_vectors."""
    public_key, expanded = expand_seed(bytes.fromhex(case["seed"]))
    assert public_key == bytes.fromhex(case["public_key"])
    assert hashlib.sha256(expanded).hexdigest() == case["expanded_sha256"]


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=15, deadline=None)
def test_our_key_expansion_agrees_with_openssl(seed: bytes) -> None:
    assert expand_seed(seed)[0] == signature_provider("openssl").secret_key(seed).public_key


@pytest.mark.parametrize("index", range(len(KNOWN)))
def test_a_known_signature_verifies(provider: SignatureProvider, index: int) -> None:
    """Known answers of FIPS 204, deterministic signing, from the package cryptography_vectors."""
    public_key, message, context, signature = known(index)
    assert provider.public_key(public_key).verify(message, signature, context)


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


@pytest.mark.parametrize("index", range(len(KNOWN)))
@pytest.mark.parametrize(
    "part",
    ["message", "context", "no context", "challenge", "response", "hint", "key", "other key"],
)
def test_a_signature_fails_when_anything_about_it_changes(
    provider: SignatureProvider, index: int, part: str
) -> None:
    """The reasons for failure in NIST ACVP ML-DSA-sigVer-FIPS204, made from known answers."""
    public_key, message, context, signature = known(index)
    match part:
        case "message":
            message = flipped(message, 0)
        case "context":
            context = flipped(context, 0)
        case "no context":
            context = b""
        case "challenge":
            signature = flipped(signature, 0)
        case "response":
            signature = flipped(signature, CHALLENGE_BYTES + 100)
        case "hint":
            signature = flipped(signature, ML_DSA_SIGNATURE_BYTES - HINT_BYTES)
        case "key":
            public_key = flipped(public_key, ML_DSA_PUBLIC_BYTES - 1)
        case _:
            public_key = known((index + 1) % len(KNOWN))[0]
    assert not provider.public_key(public_key).verify(message, signature, context)


def hints_of(signature: bytes) -> bytearray:
    return bytearray(signature[-HINT_BYTES:])


def padded_hint(signature: bytes) -> bytes:
    """Put a number behind the last hint, where FIPS 204 demands zeros."""
    hint = hints_of(signature)
    assert hint[-1] < 75, "the vector has room for it"
    hint[74] = 1
    return signature[:-HINT_BYTES] + bytes(hint)


def unsorted_hint(signature: bytes) -> bytes:
    """Swap the two first hints of a polynomial: the same hints, in another order."""
    hint = hints_of(signature)
    assert hint[75] >= 2, "the vector has two hints to swap"
    hint[0], hint[1] = hint[1], hint[0]
    return signature[:-HINT_BYTES] + bytes(hint)


def overfull_hint(signature: bytes) -> bytes:
    """Claim more hints than there is room for."""
    return signature[:-1] + bytes([76])


@pytest.mark.parametrize("index", range(len(KNOWN)))
@pytest.mark.parametrize("change", [padded_hint, unsorted_hint, overfull_hint])
def test_a_signature_has_one_encoding(provider: SignatureProvider, index: int, change: Any) -> None:
    """FIPS 204, algorithm 21: strong unforgeability needs these refusals."""
    public_key, message, context, signature = known(index)
    changed = change(signature)
    assert changed != signature
    assert not provider.public_key(public_key).verify(message, changed, context)


@pytest.mark.parametrize("length", [0, 1, 64, ML_DSA_SIGNATURE_BYTES - 1, 4628, 10_000])
def test_a_signature_of_another_length_is_false(provider: SignatureProvider, length: int) -> None:
    public_key, message, context, signature = known(0)
    other = (signature * 3)[:length]
    assert not provider.public_key(public_key).verify(message, other, context)


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_providers_agree_about_noise(noise: bytes, place: int) -> None:
    """Neither raises, and neither accepts what the other refuses."""
    public_key, message, context, signature = known(0)
    cut = place % ML_DSA_SIGNATURE_BYTES
    mixed = (signature[:cut] + noise + signature[cut + len(noise) :])[:ML_DSA_SIGNATURE_BYTES]
    answers = {
        signature_provider(name).public_key(public_key).verify(message, mixed, context)
        for name in PROVIDER_NAMES
    }
    assert answers == {mixed == signature}


@pytest.mark.parametrize("key", [bytes(ML_DSA_PUBLIC_BYTES), b"\xff" * ML_DSA_PUBLIC_BYTES])
def test_every_public_key_of_the_right_length_can_be_asked(
    provider: SignatureProvider, key: bytes
) -> None:
    _key, message, context, signature = known(0)
    assert not provider.public_key(key).verify(message, signature, context)


@pytest.mark.parametrize(("signing", "verifying"), BOTH)
def test_what_one_provider_signs_the_other_verifies(signing: str, verifying: str) -> None:
    secret = signature_provider(signing).secret_key(bytes(range(32)))
    public = signature_provider(verifying).public_key(secret.public_key)
    signature = secret.sign(b"statement", b"context")
    assert len(signature) == ML_DSA_SIGNATURE_BYTES
    assert public.verify(b"statement", signature, b"context")
    assert not public.verify(b"statement", signature, b"another")
    assert not public.verify(b"other", signature, b"context")


def test_signing_is_randomized(provider: SignatureProvider) -> None:
    """FIPS 204, 3.4: the hedged variant, which withstands faults in the signer."""
    secret = provider.secret_key(bytes(32))
    assert secret.sign(b"statement", b"") != secret.sign(b"statement", b"")


@pytest.mark.parametrize("choose", [signature_provider, kem_provider])
def test_an_unknown_provider_is_answered_with_those_there_are(choose: Any) -> None:
    with pytest.raises(ConfigError, match=r"'liboqs'; expected one of: openssl, pqcrypto"):
        choose("liboqs")


@pytest.mark.parametrize("name", PROVIDER_NAMES)
def test_a_provider_is_found_by_its_own_name(name: str) -> None:
    assert signature_provider(name).name == kem_provider(name).name == name
