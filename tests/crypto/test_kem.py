import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.crypto import kem
from cretonode.crypto.providers import PROVIDER_NAMES
from cretonode.crypto.providers.interface import MlKemSecretKey
from cretonode.crypto.providers.openssl import OpensslKem
from cretonode.crypto.providers.pqcrypto_provider import PqcryptoKem
from cretonode.errors import MalformedMessage

VECTORS = Path(__file__).parent / "vectors"
BOTH = [(a, b) for a in PROVIDER_NAMES for b in PROVIDER_NAMES]


def cases_in(name: str) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())["tests"]
    return tests


def key_of(case: dict[str, Any], provider: str) -> MlKemSecretKey:
    if provider == "openssl":
        return OpensslKem().secret_key_from_seed(bytes.fromhex(case["seed"]))
    return PqcryptoKem().secret_key_from_expanded(bytes.fromhex(case["expanded"]))


@pytest.mark.parametrize("name", PROVIDER_NAMES)
@pytest.mark.parametrize("case", cases_in("ml_kem_768_kat.json"), ids=lambda c: c["count"])
def test_keys_and_secrets_are_the_known_answers(case: dict[str, Any], name: str) -> None:
    """Known answers of FIPS 203 from the package cryptography_vectors."""
    key = key_of(case, name)
    assert key.public_key == bytes.fromhex(case["public_key"])
    ciphertext = bytes.fromhex(case["ciphertext"])
    assert kem.decapsulate_untrusted(key, ciphertext) == bytes.fromhex(case["shared_secret"])


@pytest.mark.parametrize("name", PROVIDER_NAMES)
@pytest.mark.parametrize("case", cases_in("ml_kem_768_kat.json"), ids=lambda c: c["count"])
def test_an_altered_ciphertext_gives_the_secret_of_implicit_rejection(
    case: dict[str, Any], name: str
) -> None:
    """FIPS 203, algorithm 18, line 9; known answers from the package cryptography_vectors."""
    altered = bytes.fromhex(case["altered_ciphertext"])
    secret = kem.decapsulate_untrusted(key_of(case, name), altered)
    assert secret == bytes.fromhex(case["altered_secret"])


@pytest.mark.parametrize(("receiving", "sending"), BOTH)
def test_providers_encapsulate_for_each_other(receiving: str, sending: str) -> None:
    key = kem.generate(receiving)
    first = kem.encapsulate_untrusted(key.public_key, sending)
    second = kem.encapsulate_untrusted(key.public_key, sending)
    assert len(first.ciphertext) == kem.CIPHERTEXT_BYTES
    assert len(first.shared_secret) == kem.SECRET_BYTES
    assert first.shared_secret != second.shared_secret
    assert kem.decapsulate_untrusted(key, first.ciphertext) == first.shared_secret


@pytest.mark.parametrize("name", PROVIDER_NAMES)
@pytest.mark.parametrize(
    "public_key",
    [b"", bytes(kem.PUBLIC_KEY_BYTES - 1), b"\xff" * kem.PUBLIC_KEY_BYTES],
    ids=["empty", "short", "coefficients outside the field"],
)
def test_bytes_that_are_no_public_key_are_refused(name: str, public_key: bytes) -> None:
    """FIPS 203, 7.2: the type check and the modulus check."""
    with pytest.raises(MalformedMessage):
        kem.encapsulate_untrusted(public_key, name)


@pytest.mark.parametrize("name", PROVIDER_NAMES)
@given(ciphertext=st.binary(max_size=40) | st.just(bytes(1087)) | st.just(bytes(1089)))
def test_a_ciphertext_of_another_length_is_refused(name: str, ciphertext: bytes) -> None:
    key = key_of(cases_in("ml_kem_768_kat.json")[0], name)
    with pytest.raises(MalformedMessage):
        kem.decapsulate_untrusted(key, ciphertext)
