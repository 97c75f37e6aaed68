"""Key generation of ML-DSA-87 from its seed, for libraries that take only expanded keys.

Plain Python, about ten milliseconds, run once when a node loads its key with a provider that
cannot expand it. Not constant time: whoever can time this process closely can read its memory too.
Source: FIPS 204, algorithm 6 (KeyGen_internal) and the algorithms it names.
"""

from collections.abc import Iterator
from hashlib import shake_128, shake_256
from typing import Final, TypeAlias

from cretonode.crypto.providers.interface import ML_DSA_EXPANDED_BYTES, ML_DSA_PUBLIC_BYTES

Q: Final = 8_380_417
N: Final = 256
DROPPED_BITS: Final = 13
ROWS: Final = 8  # k
COLUMNS: Final = 7  # l
ETA: Final = 2
_ROOT_OF_UNITY: Final = 1753

Polynomial: TypeAlias = list[int]

_ZETAS: Final = tuple(
    pow(_ROOT_OF_UNITY, int(f"{index:08b}"[::-1], 2), Q) for index in range(N)
)  # powers in bit-reversed order (FIPS 204, appendix B)


def expand_seed(seed: bytes) -> tuple[bytes, bytes]:
    """Return the public key and the expanded secret key that FIPS 204 makes of `seed`."""
    hashed = shake_256(seed + bytes([ROWS, COLUMNS])).digest(128)
    rho, rho_prime, signing_seed = hashed[:32], hashed[32:96], hashed[96:]
    s1 = [_small_polynomial(rho_prime, number) for number in range(COLUMNS)]
    s2 = [_small_polynomial(rho_prime, COLUMNS + number) for number in range(ROWS)]
    high, low = _public_parts(rho, s1, s2)

    public_key = rho + b"".join(_pack(part, 10) for part in high)
    expanded = b"".join(
        [
            rho,
            signing_seed,
            shake_256(public_key).digest(64),
            *(_pack([ETA - value for value in part], 3) for part in s1 + s2),
            *(_pack([2 ** (DROPPED_BITS - 1) - value for value in part], 13) for part in low),
        ]
    )
    assert len(public_key) == ML_DSA_PUBLIC_BYTES, len(public_key)
    assert len(expanded) == ML_DSA_EXPANDED_BYTES, len(expanded)
    return public_key, expanded


def _public_parts(
    rho: bytes, s1: list[Polynomial], s2: list[Polynomial]
) -> tuple[list[Polynomial], list[Polynomial]]:
    """Return t1 and t0, where t = A s1 + s2 = t1 * 2**13 + t0 (FIPS 204, algorithm 35)."""
    transformed = [_ntt(part) for part in s1]
    high: list[Polynomial] = []
    low: list[Polynomial] = []
    for row in range(ROWS):
        total = [0] * N
        for column in range(COLUMNS):
            entry = _uniform_polynomial(rho, row, column)
            total = [t + a * s for t, a, s in zip(total, entry, transformed[column], strict=True)]
        t = [(a + b) % Q for a, b in zip(_inverse_ntt(total), s2[row], strict=True)]
        # The bias rounds to nearest, a tie downwards, as Power2Round does.
        high.append([(value + 2 ** (DROPPED_BITS - 1) - 1) >> DROPPED_BITS for value in t])
        low.append([a - (b << DROPPED_BITS) for a, b in zip(t, high[-1], strict=True)])
    return high, low


def _uniform_polynomial(rho: bytes, row: int, column: int) -> Polynomial:
    """Return one entry of the matrix A, in the transformed domain (FIPS 204, algorithm 30)."""

    def values() -> Iterator[int]:
        # 1680 bytes hold 560 candidates, of which 256 fit in the field all but never fail.
        stream = shake_128(rho + bytes([column, row])).digest(1680)
        for start in range(0, len(stream), 3):
            value = int.from_bytes(stream[start : start + 3], "little") & 0x7FFFFF
            if value < Q:
                yield value

    return _first(values())


def _small_polynomial(rho_prime: bytes, number: int) -> Polynomial:
    """Return a secret polynomial with coefficients -2 to 2 (FIPS 204, algorithm 31)."""

    def values() -> Iterator[int]:
        for byte in shake_256(rho_prime + number.to_bytes(2, "little")).digest(544):
            for half in (byte & 15, byte >> 4):
                if half < 15:
                    yield ETA - half % 5

    return _first(values())


def _first(values: Iterator[int]) -> Polynomial:
    polynomial = [value for value, _ in zip(values, range(N), strict=False)]
    assert len(polynomial) == N, "the stream ended early; its chance is below 2**-128"
    return polynomial


def _ntt(polynomial: Polynomial) -> Polynomial:
    """Return the number-theoretic transform (FIPS 204, algorithm 41)."""
    values = list(polynomial)
    index, length = 0, N // 2
    while length >= 1:
        for start in range(0, N, 2 * length):
            index += 1
            zeta = _ZETAS[index]
            for j in range(start, start + length):
                shifted = zeta * values[j + length] % Q
                values[j + length] = (values[j] - shifted) % Q
                values[j] = (values[j] + shifted) % Q
        length //= 2
    return values


def _inverse_ntt(transformed: Polynomial) -> Polynomial:
    """Return the inverse transform (FIPS 204, algorithm 42)."""
    values = list(transformed)
    index, length = N, 1
    while length < N:
        for start in range(0, N, 2 * length):
            index -= 1
            zeta = -_ZETAS[index]
            for j in range(start, start + length):
                other = values[j]
                values[j] = (other + values[j + length]) % Q
                values[j + length] = zeta * (other - values[j + length]) % Q
        length *= 2
    scale = pow(N, -1, Q)
    return [value * scale % Q for value in values]


def _pack(values: Polynomial, bits: int) -> bytes:
    """Return `values` as little-endian fields of `bits` bits (FIPS 204, algorithm 16)."""
    packed = 0
    for value in reversed(values):
        assert 0 <= value < 2**bits, (value, bits)
        packed = packed << bits | value
    return packed.to_bytes(N * bits // 8, "little")
