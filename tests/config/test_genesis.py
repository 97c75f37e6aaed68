import base64
import dataclasses
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path

import cbor2
import pytest
from blake3 import blake3

from cretonode.config.addresses import Address
from cretonode.config.genesis import (
    FILE_BYTES_MAX,
    Genesis,
    check_address,
    check_against,
    parse_untrusted,
    read,
    tolerance,
)
from cretonode.core.committee import Committee, Parameters
from cretonode.crypto.signatures import CryptoMode, PublicKey
from cretonode.errors import ConfigError
from cretonode.identifiers import (
    ChainId,
    Digest,
    Incarnation,
    NodeId,
    ValidatorIndex,
    VertexHash,
)
from tests.config.documents import KEYS, document, genesis, loaded, paths_of

DOCS = Path(__file__).parent.parent.parent / "docs" / "genesis.md"
HASH = "97f02060f64d6ea3a9a8b519d47758e896ab52ee7732b275c8f654450201bd11"
VALIDATOR_SET = "f3626c506b458eda6fbf18691da1fc446a436371dfb313a10d1750ff0f618869"


def test_a_document_reads_back_from_its_text(tmp_path: Path) -> None:
    made = genesis()
    assert parse_untrusted(made.render()) == made
    path = tmp_path / "genesis.json"
    path.write_text(made.render(), encoding="utf-8")
    assert read(path) == made


def test_people_can_read_the_text() -> None:
    lines = genesis().render().splitlines()
    assert '  "chain_id": "example-1",' in lines
    assert '      "address": "172.21.0.11:9001",' in lines


def test_the_hash_is_that_of_the_documented_array() -> None:
    """docs/genesis.md, section "Hashes", computed without this project's code."""
    made = genesis()
    value = document()
    validators = value["validators"]
    assert isinstance(validators, list)
    keys = [
        base64.b64decode(v["public_key"]["ed25519"])
        + base64.b64decode(v["public_key"]["ml-dsa-87"])
        for v in validators
    ]
    content = [
        "cretonode genesis",
        1,
        "example-1",
        1_735_689_600_000,
        "hybrid",
        [struct.pack(">d", 0.67), 256, 64, 512],
        [[v["name"], key, v["address"]] for v, key in zip(validators, keys, strict=True)],
    ]
    assert made.hash == blake3(cbor2.dumps(content, canonical=True)).digest()
    key_set = cbor2.dumps(["cretonode validator set", 1, keys], canonical=True)
    assert made.validator_set == blake3(key_set).digest()


def test_the_hash_stays_what_it_was() -> None:
    """A chain that exists must keep its genesis hash in every later release."""
    assert genesis().hash.hex() == HASH
    assert genesis().validator_set.hex() == VALIDATOR_SET


def test_white_space_and_the_order_of_fields_do_not_change_the_hash() -> None:
    text = json.dumps(dict(reversed(document().items())))
    assert text != genesis().render()
    assert parse_untrusted(text).hash == genesis().hash


CHANGES: dict[str, Callable[[Genesis], Genesis]] = {
    "chain": lambda g: dataclasses.replace(g, chain_id=ChainId("example-2")),
    "time": lambda g: dataclasses.replace(g, created_ms=g.created_ms + 1),
    "mode": lambda g: dataclasses.replace(g, crypto_mode=CryptoMode.POST_QUANTUM),
    "threshold": lambda g: dataclasses.replace(g, parameters=Parameters(quorum_threshold=0.7)),
    "window": lambda g: dataclasses.replace(g, parameters=Parameters(window=128)),
    "interval": lambda g: dataclasses.replace(g, parameters=Parameters(checkpoint_interval=32)),
    "dedup": lambda g: dataclasses.replace(g, parameters=Parameters(dedup_window=256)),
    "order": lambda g: dataclasses.replace(g, validators=g.validators[::-1]),
    "fewer": lambda g: dataclasses.replace(g, validators=g.validators[:-1]),
    "name": lambda g: dataclasses.replace(
        g, validators=(dataclasses.replace(g.validators[0], name="other"), *g.validators[1:])
    ),
    "address": lambda g: dataclasses.replace(
        g,
        validators=(
            dataclasses.replace(g.validators[0], address=Address("::1", 1)),
            *g.validators[1:],
        ),
    ),
}


def test_every_field_changes_the_hash_and_only_keys_change_the_set() -> None:
    made = genesis()
    changed = {name: change(made) for name, change in CHANGES.items()}
    assert len({made.hash, *(each.hash for each in changed.values())}) == len(changed) + 1
    others = {name for name, each in changed.items() if each.validator_set != made.validator_set}
    assert others == {"order", "fewer"}


def test_the_committee_is_the_one_of_genesis() -> None:
    made = genesis(parameters=Parameters(window=128))
    assert made.committee() == Committee(
        chain_id=ChainId("example-1"),
        size=4,
        genesis=made.hash,
        validator_set=made.validator_set,
        parameters=Parameters(window=128),
        incarnations=(Incarnation(0),) * 4,
    )


def test_a_validator_is_found_by_its_node_id() -> None:
    made = genesis()
    assert [made.index_of(v.node_id) for v in made.validators] == [0, 1, 2, 3]
    assert made.index_of(NodeId(bytes(32))) is None
    assert made.validators[2].node_id == KEYS[2].node_id


def test_the_largest_document_fits_the_bound() -> None:
    rng = random.Random(1)
    keys = [PublicKey(rng.randbytes(31) + b"\0", rng.randbytes(2592)) for _ in range(128)]
    first = genesis().validators[0]
    made = dataclasses.replace(
        genesis(),
        validators=tuple(
            dataclasses.replace(
                first,
                name=f"{n:é>64}",
                address=Address(f"n{n}.{'a.' * 120}b", 9001),
                public_key=key,
            )
            for n, key in enumerate(keys)
        ),
    )
    assert len(made.render().encode()) < FILE_BYTES_MAX
    assert parse_untrusted(made.render()) == made


def test_a_document_made_by_code_keeps_the_same_rules() -> None:
    with pytest.raises(ConfigError, match=r"^chain_id is"):
        dataclasses.replace(genesis(), chain_id=ChainId("A"))
    with pytest.raises(ConfigError, match=r"^created_ms is"):
        dataclasses.replace(genesis(), created_ms=-1)
    with pytest.raises(ConfigError, match=r"^parameters: 0 validators"):
        dataclasses.replace(genesis(), validators=())


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ({}, CryptoMode.HYBRID),
        ({}, CryptoMode.POST_QUANTUM),
        ({}, CryptoMode.CLASSICAL),
        ({"consensus.quorum_threshold": 0.67, "crypto.hybrid_mode": True}, CryptoMode.HYBRID),
        ({"crypto.signature_algorithm": "ml-dsa-87"}, CryptoMode.HYBRID),
        ({"crypto.hybrid_mode": False}, CryptoMode.POST_QUANTUM),
        ({"crypto.signature_algorithm": "ml-dsa-87"}, CryptoMode.POST_QUANTUM),
        ({"crypto.hybrid_mode": False}, CryptoMode.CLASSICAL),
    ],
)
def test_a_configuration_that_agrees_with_genesis_or_says_nothing_passes(
    flags: dict[str, object], mode: CryptoMode
) -> None:
    """SPEC C2, K1."""
    check_against(loaded(flags=flags), genesis(crypto_mode=mode))


def test_a_default_that_nobody_set_contradicts_nothing() -> None:
    parameters = Parameters(quorum_threshold=0.7)
    check_against(loaded(), genesis(parameters=parameters))


@pytest.mark.parametrize(
    ("flags", "mode", "values"),
    [
        ({"consensus.quorum_threshold": 0.75}, CryptoMode.HYBRID, ("0.75", "0.67")),
        ({"crypto.hybrid_mode": False}, CryptoMode.HYBRID, ("false", "true")),
        ({"crypto.hybrid_mode": True}, CryptoMode.POST_QUANTUM, ("true", "false")),
        ({"crypto.hybrid_mode": True}, CryptoMode.CLASSICAL, ("true", "false")),
        (
            {"crypto.signature_algorithm": "ml-dsa-87"},
            CryptoMode.CLASSICAL,
            ('"ml-dsa-87"', '"ed25519"'),
        ),
    ],
)
def test_a_key_that_contradicts_genesis_is_refused_with_both_values(
    flags: dict[str, object], mode: CryptoMode, values: tuple[str, str]
) -> None:
    """SPEC C2."""
    (key,) = flags
    with pytest.raises(ConfigError) as caught:
        check_against(loaded(flags=flags), genesis(crypto_mode=mode))
    assert str(caught.value) == (
        f"flag: {key} is {values[0]}, but genesis of chain example-1 says {values[1]}; remove the "
        "key or use the genesis document that says so"
    )


def test_every_contradiction_is_reported_with_its_file(tmp_path: Path) -> None:
    text = "[consensus]\nquorum_threshold = 0.7\n[crypto]\nhybrid_mode = false\n"
    config = loaded(text, directory=tmp_path)
    with pytest.raises(ConfigError) as caught:
        check_against(config, genesis())
    lines = str(caught.value).splitlines()
    assert [line.partition(" is ")[0] for line in lines] == [
        f"{tmp_path}/node.toml: consensus.quorum_threshold",
        f"{tmp_path}/node.toml: crypto.hybrid_mode",
    ]


@pytest.mark.parametrize(
    ("host", "port"),
    [("172.21.0.11", 9001), ("0.0.0.0", 9001), ("172.21.0.12", 9009), ("192.168.0.1", 9001)],
    ids=["its own", "all", "another port", "behind a router"],
)
def test_a_node_may_listen_at_any_address_but_another_validators(host: str, port: int) -> None:
    flags: dict[str, object] = {
        "network.listen_addr": f"{host}:{port}",
        "network.quic_port": port,
    }
    check_address(loaded(flags=flags), genesis(), ValidatorIndex(0))


def test_a_node_with_the_key_of_another_is_refused_and_both_are_named() -> None:
    """Each would answer where its peers dial the other."""
    config = loaded(flags={"network.listen_addr": "172.21.0.12:9001"})
    check_address(config, genesis(), ValidatorIndex(1))
    with pytest.raises(ConfigError) as caught:
        check_address(config, genesis(), ValidatorIndex(2))
    assert str(caught.value) == (
        'flag: network.listen_addr is "172.21.0.12:9001", where genesis of chain example-1 has '
        f'validator "validator 1", but the key in {config.crypto.key_path} is that of '
        '"validator 2" at "172.21.0.13:9001"; are the keys of two nodes exchanged?'
    )


def committee(size: int, threshold: float = 0.67) -> Committee:
    return Committee(
        chain_id=ChainId("x"),
        size=size,
        genesis=VertexHash(bytes(32)),
        validator_set=Digest(bytes(32)),
        parameters=Parameters(quorum_threshold=threshold),
        incarnations=(Incarnation(0),) * size,
    )


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        (
            1,
            (
                "1 validator, quorum 1: finality survives no crash. It survives no malicious "
                "validator: to survive one, four validators are needed."
            ),
        ),
        (
            2,
            (
                "2 validators, quorum 2: finality survives no crash. It survives no malicious "
                "validator: to survive one, four validators are needed."
            ),
        ),
        (
            3,
            (
                "3 validators, quorum 2: finality survives 1 crashed validator. It survives no "
                "malicious validator: to survive one, four validators are needed."
            ),
        ),
        (
            4,
            (
                "4 validators, quorum 3: finality survives 1 crashed validator, and safety and "
                "finality survive 1 malicious validator."
            ),
        ),
        (
            6,
            (
                "6 validators, quorum 4: finality survives 2 crashed validators, and safety and "
                "finality survive 1 malicious validator."
            ),
        ),
        (
            127,
            (
                "127 validators, quorum 85: finality survives 42 crashed validators, and safety "
                "and finality survive 42 malicious validators."
            ),
        ),
    ],
)
def test_the_tolerance_is_said_plainly(size: int, sentence: str) -> None:
    """SPEC C2."""
    assert tolerance(committee(size)) == sentence


def test_the_documentation_says_what_the_node_says() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for size in (3, 4, 7):
        said = committee(size)
        assert f"| {size} | {said.quorum} | {tolerance(said)} |" in text


def test_the_documentation_shows_every_field() -> None:
    example = DOCS.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    assert paths_of(json.loads(example)) == paths_of(document())
