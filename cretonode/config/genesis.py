"""The genesis document: what all validators of one chain agreed on before its first vertex.

A JSON text for people; its hash is over the content in canonical CBOR, so white space and the
order of fields do not matter. Source: docs/genesis.md.
"""

import base64
import json
import re
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cretonode.config import addresses, strict_json
from cretonode.config.addresses import Address
from cretonode.config.files import read_regular
from cretonode.config.forms import LABEL
from cretonode.config.schema import Config
from cretonode.config.wording import shown
from cretonode.core.committee import Committee, Parameters
from cretonode.crypto import canonical
from cretonode.crypto.hashing import hash_of
from cretonode.crypto.providers.interface import ML_DSA_PUBLIC_BYTES
from cretonode.crypto.signatures import ED25519_PUBLIC_BYTES, CryptoMode, PublicKey
from cretonode.errors import ConfigError, MalformedMessage
from cretonode.identifiers import (
    ChainId,
    Digest,
    Incarnation,
    NodeId,
    ValidatorIndex,
    VertexHash,
)
from cretonode.limits import VALIDATORS_MAX

VERSION: Final = 1
FILE_BYTES_MAX: Final = 1024 * 1024  # 128 validators take about half of it

_CHAIN_ID: Final = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_HASH_DOMAIN: Final = "cretonode genesis"
_SET_DOMAIN: Final = "cretonode validator set"
_FIELDS: Final = (
    "version",
    "chain_id",
    "created_ms",
    "crypto_mode",
    "parameters",
    "validators",
)
_PARAMETER_FIELDS: Final = ("quorum_threshold", "window", "checkpoint_interval", "dedup_window")
_VALIDATOR_FIELDS: Final = ("name", "address", "public_key")
_KEY_FIELDS: Final = ("ed25519", "ml-dsa-87")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One member of the committee; its place in the list is its index."""

    name: str
    address: Address  # of QUIC
    public_key: PublicKey

    @property
    def node_id(self) -> NodeId:
        """The id by which peers know this validator."""
        return self.public_key.node_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """A genesis document that keeps every rule. Raises: ConfigError, when made of other parts."""

    chain_id: ChainId
    created_ms: int  # since 1970, UTC
    crypto_mode: CryptoMode
    parameters: Parameters
    validators: tuple[Validator, ...]

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ConfigError(problem)

    @property
    def names(self) -> tuple[str, ...]:
        """What the validators are called, by index."""
        return tuple(validator.name for validator in self.validators)

    @property
    def hash(self) -> VertexHash:
        """The hash of the content: the anchor of sequence 0. Computed anew each time."""
        parameters = self.parameters
        content: canonical.Value = [
            _HASH_DOMAIN,
            VERSION,
            self.chain_id,
            self.created_ms,
            self.crypto_mode.value,
            [
                struct.pack(">d", parameters.quorum_threshold),
                parameters.window,
                parameters.checkpoint_interval,
                parameters.dedup_window,
            ],
            [[v.name, v.public_key.encode(), str(v.address)] for v in self.validators],
        ]
        return VertexHash(hash_of(canonical.encode(content)))

    @property
    def validator_set(self) -> Digest:
        """The hash of the public keys in their order. Computed anew each time."""
        keys = [validator.public_key.encode() for validator in self.validators]
        return hash_of(canonical.encode([_SET_DOMAIN, VERSION, keys]))

    def committee(self) -> Committee:
        """Return the committee as the chain begins: nobody has been recovered."""
        return Committee(
            chain_id=self.chain_id,
            size=len(self.validators),
            genesis=self.hash,
            validator_set=self.validator_set,
            parameters=self.parameters,
            incarnations=(Incarnation(0),) * len(self.validators),
        )

    def index_of(self, node_id: NodeId) -> ValidatorIndex | None:
        """Return the index of a validator, or None for a node that is none."""
        for index, validator in enumerate(self.validators):
            if validator.node_id == node_id:
                return ValidatorIndex(index)
        return None

    def render(self) -> str:
        """Return the document as JSON that people can read; `parse_untrusted` reads it back."""
        document = {
            "version": VERSION,
            "chain_id": self.chain_id,
            "created_ms": self.created_ms,
            "crypto_mode": self.crypto_mode.value,
            "parameters": {name: getattr(self.parameters, name) for name in _PARAMETER_FIELDS},
            "validators": [_rendered(validator) for validator in self.validators],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _problems(self) -> Iterator[str]:
        if not _CHAIN_ID.fullmatch(self.chain_id):
            yield f"chain_id is {shown(self.chain_id)}; expected 1 to 64 of a-z, 0-9, '.', '_', '-'"
        if not 0 <= self.created_ms <= strict_json.INTEGER_MAX:
            yield f"created_ms is {self.created_ms}; expected 0 to {strict_json.INTEGER_MAX}"
        yield from (f"parameters: {p}" for p in self.parameters.problems(len(self.validators)))
        for index, validator in enumerate(self.validators):
            yield from _problems_of(validator, f"validators[{index}]")
        yield from self._repetitions()

    def _repetitions(self) -> Iterator[str]:
        seen: dict[object, int] = {}
        for index, validator in enumerate(self.validators):
            key = validator.public_key
            for what, value in (
                ("name", unicodedata.normalize("NFKC", validator.name).casefold()),
                ("address", validator.address),
                # Two validators with one key would be one voter with two votes.
                ("Ed25519 key", key.ed25519),
                ("ML-DSA-87 key", key.mldsa),
            ):
                first = seen.setdefault((what, value), index)
                if first != index:
                    yield f"validators[{first}] and validators[{index}] have the same {what}"


def read(path: Path) -> Genesis:
    """Return the genesis document in a file. Raises: ConfigError, which names the file."""
    try:
        data = read_regular(path, FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: over {FILE_BYTES_MAX} bytes long, so no genesis document")
    try:
        return parse_untrusted(data.decode())
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8, so no genesis document") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_untrusted(text: str) -> Genesis:
    """Return the genesis document of a JSON text.

    Raises: ConfigError, one sentence about the first rule that is broken.
    """
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError(f"over {FILE_BYTES_MAX} characters long, so no genesis document")
    value = strict_json.parse_untrusted(text)
    if isinstance(value, dict) and "version" in value:  # first: another one has other fields
        version = strict_json.integer_untrusted(value["version"], of="version")
        if version != VERSION:
            raise ConfigError(f"version is {version}; this release reads version {VERSION}")
    document = strict_json.members_untrusted(value, _FIELDS, of="the genesis document")
    validators = strict_json.items_untrusted(
        document["validators"], count_max=VALIDATORS_MAX, of="validators"
    )
    return Genesis(
        chain_id=ChainId(strict_json.text_untrusted(document["chain_id"], of="chain_id")),
        created_ms=strict_json.integer_untrusted(document["created_ms"], of="created_ms"),
        crypto_mode=_crypto_mode_untrusted(document["crypto_mode"]),
        parameters=_parameters_untrusted(document["parameters"]),
        validators=tuple(
            _validator_untrusted(item, of=f"validators[{index}]")
            for index, item in enumerate(validators)
        ),
    )


def check_against(config: Config, genesis: Genesis) -> None:
    """Pass when no key that somebody set contradicts genesis.

    Raises: ConfigError, a sentence for each key that does, with both values.
    """
    classical = genesis.crypto_mode is CryptoMode.CLASSICAL
    fixed: dict[str, object] = {
        "consensus.quorum_threshold": genesis.parameters.quorum_threshold,
        "crypto.hybrid_mode": genesis.crypto_mode is CryptoMode.HYBRID,
        "crypto.signature_algorithm": "ed25519" if classical else "ml-dsa-87",
    }
    problems = [
        f"{config.origins.get(key, 'configuration')}: {key} is {shown(config.value_of(key))}, but "
        f"genesis of chain {genesis.chain_id} says {shown(value)}; remove the key or use the "
        "genesis document that says so"
        for key, value in fixed.items()
        if key in config.explicit and config.value_of(key) != value
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def check_address(config: Config, genesis: Genesis, me: ValidatorIndex) -> None:
    """Pass unless this node would listen where genesis has another validator.

    Then the keys or the files of two nodes are exchanged: each would answer where its peers dial
    the other. Any other address may be right, as a router may translate it.
    Raises: ConfigError, which names the two validators.
    """
    own = genesis.validators[me]
    ours = config.network.quic_address
    for other in genesis.validators:
        if other.address == ours != own.address:
            raise ConfigError(
                f"{config.origins.get('network.listen_addr', 'configuration')}: "
                f'network.listen_addr is "{ours}", where genesis of chain {genesis.chain_id} has '
                f"validator {shown(other.name)}, but the key in {config.crypto.key_path} is that "
                f'of {shown(own.name)} at "{own.address}"; are the keys of two nodes exchanged?'
            )


def tolerance(committee: Committee) -> str:
    """Return, as sentences, how many crashed and malicious validators the chain survives."""
    size, quorum, faults = committee.size, committee.quorum, committee.faults
    crashes = size - quorum
    survived = f"survives {_counted(crashes, 'crashed')}" if crashes else "survives no crash"
    opening = f"{_counted(size, '')}, quorum {quorum}: finality {survived}"
    if faults:
        return f"{opening}, and safety and finality survive {_counted(faults, 'malicious')}."
    return (
        f"{opening}. It survives no malicious validator: to survive one, four validators are "
        "needed."
    )


def _problems_of(validator: Validator, of: str) -> Iterator[str]:
    if not LABEL.accepts(validator.name):
        yield f"{of}.name is {shown(validator.name)}; expected {LABEL.allowed}"
    if validator.address.is_unspecified:
        yield f'{of}.address is "{validator.address}"; expected one that others can dial'


def _crypto_mode_untrusted(value: object) -> CryptoMode:
    for mode in CryptoMode:
        if value == mode.value:
            return mode
    allowed = " or ".join(f'"{mode.value}"' for mode in CryptoMode)
    raise ConfigError(f"crypto_mode is {shown(value)}; expected {allowed}")


def _parameters_untrusted(value: object) -> Parameters:
    members = strict_json.members_untrusted(value, _PARAMETER_FIELDS, of="parameters")
    threshold, *counts = _PARAMETER_FIELDS
    whole = {
        name: strict_json.integer_untrusted(members[name], of=f"parameters.{name}")
        for name in counts
    }
    return Parameters(
        quorum_threshold=strict_json.float_untrusted(
            members[threshold], of=f"parameters.{threshold}"
        ),
        window=whole["window"],
        checkpoint_interval=whole["checkpoint_interval"],
        dedup_window=whole["dedup_window"],
    )


def _validator_untrusted(value: object, *, of: str) -> Validator:
    members = strict_json.members_untrusted(value, _VALIDATOR_FIELDS, of=of)
    return Validator(
        name=strict_json.text_untrusted(members["name"], of=f"{of}.name"),
        address=_address_untrusted(members["address"], of=f"{of}.address"),
        public_key=_public_key_untrusted(members["public_key"], of=f"{of}.public_key"),
    )


def _address_untrusted(value: object, *, of: str) -> Address:
    text = strict_json.text_untrusted(value, of=of)
    try:
        address = addresses.parse_host_port(text)
    except ConfigError as error:
        raise ConfigError(f"{of}: {error}") from None
    if str(address) != text:  # one text for each content, so that people may compare files
        raise ConfigError(f'{of} is {shown(text)}; expected its short form, "{address}"')
    return address


def _public_key_untrusted(value: object, *, of: str) -> PublicKey:
    members = strict_json.members_untrusted(value, _KEY_FIELDS, of=of)
    lengths = (ED25519_PUBLIC_BYTES, ML_DSA_PUBLIC_BYTES)
    parts = [
        strict_json.octets_untrusted(members[name], count=count, of=f"{of}.{name}")
        for name, count in zip(_KEY_FIELDS, lengths, strict=True)
    ]
    try:
        return PublicKey.decode_untrusted(b"".join(parts))
    except MalformedMessage as error:
        raise ConfigError(f"{of} is {error}") from None


def _rendered(validator: Validator) -> dict[str, object]:
    parts = (validator.public_key.ed25519, validator.public_key.mldsa)
    return {
        "name": validator.name,
        "address": str(validator.address),
        "public_key": {
            name: base64.b64encode(part).decode()
            for name, part in zip(_KEY_FIELDS, parts, strict=True)
        },
    }


def _counted(count: int, what: str) -> str:
    return " ".join(filter(None, (str(count), what, "validator" if count == 1 else "validators")))
