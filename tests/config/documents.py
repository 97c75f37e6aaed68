"""Valid genesis documents and configurations to start from, for the tests of this folder."""

import json
from pathlib import Path

import pytest

from cretonode.config.addresses import Address
from cretonode.config.genesis import Genesis, Validator
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.core.committee import Parameters
from cretonode.crypto.signatures import CryptoMode, PublicKey, SecretKey
from cretonode.errors import ConfigError
from cretonode.identifiers import ChainId

KEYS: list[PublicKey] = [SecretKey(bytes([n]) * 64).public_key for n in range(1, 5)]


def genesis(
    size: int = 4,
    *,
    parameters: Parameters | None = None,
    crypto_mode: CryptoMode = CryptoMode.HYBRID,
) -> Genesis:
    return Genesis(
        chain_id=ChainId("example-1"),
        created_ms=1_735_689_600_000,
        crypto_mode=crypto_mode,
        parameters=parameters or Parameters(),
        validators=tuple(
            Validator(
                name=f"validator {n}", address=Address(f"172.21.0.{11 + n}", 9001), public_key=key
            )
            for n, key in enumerate(KEYS[:size])
        ),
    )


def document() -> dict[str, object]:
    """Return the JSON of a valid document, to be damaged."""
    value: dict[str, object] = json.loads(genesis().render())
    return value


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of every field of every object in `value`."""
    found: list[tuple[str | int, ...]] = []
    match value:
        case dict():
            found = [(*path, name) for name in value]
            for name, item in value.items():
                found += paths_of(item, (*path, name))
        case list():
            for index, item in enumerate(value[:1]):
                found += paths_of(item, (*path, index))
        case _:
            pass
    return found


def loaded(
    text: str | None = None,
    *,
    directory: Path | None = None,
    environment: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> Config:
    """Load `text` as node.toml in `directory`."""
    path = None
    if text is not None:
        assert directory is not None
        path = directory / "node.toml"
        path.write_text(text, encoding="utf-8")
    return load(path, environment=environment or {}, flags=flags or {})


def problems_of(
    text: str | None = None,
    *,
    directory: Path | None = None,
    environment: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
) -> list[str]:
    """Return the sentences that refuse a configuration, node.toml without its directory."""
    with pytest.raises(ConfigError) as caught:
        loaded(text, directory=directory, environment=environment, flags=flags)
    return [line.replace(f"{directory}/", "") for line in str(caught.value).splitlines()]
