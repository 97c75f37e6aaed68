"""Genesis documents that somebody damaged, by hand or by chance."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cretonode.config.genesis import FILE_BYTES_MAX, parse_untrusted, read
from cretonode.errors import ConfigError
from tests.config.documents import KEYS, document, genesis, paths_of

NOT_CANONICAL = base64.b64encode(KEYS[3].ed25519).decode()[:-2] + "B="
SMALL_ORDER = base64.b64encode((1).to_bytes(32, "little")).decode()
Damage = Callable[[dict[str, Any]], object]


def refused(text: str) -> str:
    """Return the one sentence that refuses a document."""
    with pytest.raises(ConfigError) as caught:
        parse_untrusted(text)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert 0 < len(sentence) < 500
    return sentence


def _first(value: dict[str, Any]) -> dict[str, Any]:
    validator = value["validators"][0]
    assert isinstance(validator, dict)
    return validator


def _last(value: dict[str, Any]) -> dict[str, Any]:
    validator = value["validators"][3]
    assert isinstance(validator, dict)
    return validator


DAMAGES: dict[str, tuple[Damage, str]] = {
    "unknown field": (
        lambda g: g.update(chain_di="x"),
        'the genesis document has the unknown field "chain_di"; did you mean "chain_id"?',
    ),
    "unknown parameter": (
        lambda g: g["parameters"].update(windows=1),
        'parameters has the unknown field "windows"; did you mean "window"?',
    ),
    "unknown field of a validator": (
        lambda g: _first(g).update(power=1),
        'validators[0] has the unknown field "power"',
    ),
    "unknown key part": (
        lambda g: _first(g)["public_key"].update(rsa=""),
        'validators[0].public_key has the unknown field "rsa"',
    ),
    "another version": (
        lambda g: g.update(version=2),
        "version is 2; this release reads version 1",
    ),
    "version true": (
        lambda g: g.update(version=True),
        "version is true; expected a whole number, 0 to 9007199254740991",
    ),
    "empty chain id": (
        lambda g: g.update(chain_id=""),
        "chain_id is \"\"; expected 1 to 64 of a-z, 0-9, '.', '_', '-'",
    ),
    "long chain id": (lambda g: g.update(chain_id="a" * 65), "chain_id is "),
    "capital chain id": (lambda g: g.update(chain_id="A"), 'chain_id is "A"; expected 1 to 64'),
    "chain id of two lines": (lambda g: g.update(chain_id="a\n"), 'chain_id is "a\\n"; expected'),
    "chain id number": (lambda g: g.update(chain_id=1), "chain_id is 1; expected a text"),
    "negative time": (
        lambda g: g.update(created_ms=-1),
        "created_ms is -1; expected a whole number, 0 to 9007199254740991",
    ),
    "late time": (lambda g: g.update(created_ms=2**53), "created_ms is 9007199254740992; expected"),
    "time with a fraction": (lambda g: g.update(created_ms=1.0), "created_ms is 1.0; expected a"),
    "time true": (lambda g: g.update(created_ms=True), "created_ms is true; expected a whole"),
    "unknown mode": (
        lambda g: g.update(crypto_mode="rsa"),
        'crypto_mode is "rsa"; expected "hybrid" or "post-quantum" or "classical"',
    ),
    "mode is a list": (lambda g: g.update(crypto_mode=[]), "crypto_mode is []; expected "),
    "parameters are a list": (
        lambda g: g.update(parameters=[]),
        "parameters is []; expected an object",
    ),
    "low threshold": (
        lambda g: g["parameters"].update(quorum_threshold=0.5),
        "parameters: quorum_threshold is 0.5; expected 2/3 to 1",
    ),
    "threshold text": (
        lambda g: g["parameters"].update(quorum_threshold="0.67"),
        'parameters.quorum_threshold is "0.67"; expected a number',
    ),
    "threshold true": (
        lambda g: g["parameters"].update(quorum_threshold=True),
        "parameters.quorum_threshold is true; expected a number",
    ),
    "threshold that stops finality": (
        lambda g: g["parameters"].update(quorum_threshold=1),
        "parameters: quorum_threshold 1.0 asks for 4 of 4 votes; then 1 silent validators stop",
    ),
    "odd window": (
        lambda g: g["parameters"].update(window=200),
        "parameters: window is 200; expected a multiple of checkpoint_interval from 128 to 4096",
    ),
    "small interval": (
        lambda g: g["parameters"].update(checkpoint_interval=1),
        "parameters: checkpoint_interval is 1; expected 2 to 2048",
    ),
    "small dedup window": (
        lambda g: g["parameters"].update(dedup_window=255),
        "parameters: dedup_window is 255; expected 256 (window) to 65536",
    ),
    "window with a fraction": (
        lambda g: g["parameters"].update(window=256.0),
        "parameters.window is 256.0; expected a whole number",
    ),
    "no validators": (
        lambda g: g.update(validators=[]),
        "validators has 0 items; expected 1 to 128",
    ),
    "too many validators": (
        lambda g: g.update(validators=[{}] * 129),
        "validators has 129 items; expected 1 to 128",
    ),
    "validators are an object": (
        lambda g: g.update(validators={}),
        "validators is a table; expected a list",
    ),
    "a validator is a text": (
        lambda g: g.update(validators=["x"]),
        'validators[0] is "x"; expected an object',
    ),
    "empty name": (
        lambda g: _last(g).update(name=""),
        'validators[3].name is ""; expected 1 to 64 printable characters',
    ),
    "long name": (lambda g: _last(g).update(name="a" * 65), "validators[3].name is "),
    "invisible name": (
        lambda g: _last(g).update(name="a\u200bb"),
        'validators[3].name is "a\\u200bb"; expected 1 to 64 printable',
    ),
    "half a character": (
        lambda g: _last(g).update(name="\ud800"),
        'validators[3].name is "\\ud800"; expected 1 to 64 printable',
    ),
    "name number": (lambda g: _last(g).update(name=1), "validators[3].name is 1; expected a text"),
    "same name": (
        lambda g: _last(g).update(name="validator 1"),
        "validators[1] and validators[3] have the same name",
    ),
    "same name in capitals": (
        lambda g: _last(g).update(name="VALIDATOR 1"),
        "validators[1] and validators[3] have the same name",
    ),
    "same address": (
        lambda g: _last(g).update(address=_first(g)["address"]),
        "validators[0] and validators[3] have the same address",
    ),
    "address without port": (
        lambda g: _last(g).update(address="172.21.0.11"),
        "validators[3].address: '172.21.0.11' is no address; expected \"host:port\"",
    ),
    "address as multiaddr": (
        lambda g: _last(g).update(address="/ip4/172.21.0.14/udp/9001/quic"),
        "validators[3].address: '/ip4/172.21.0.14/udp/9001/quic' is no address; expected",
    ),
    "address of nobody": (
        lambda g: _last(g).update(address="0.0.0.0:9001"),
        'validators[3].address is "0.0.0.0:9001"; expected one that others can dial',
    ),
    "address in a long form": (
        lambda g: _last(g).update(address="[0:0::1]:9001"),
        'validators[3].address is "[0:0::1]:9001"; expected its short form, "[::1]:9001"',
    ),
    "address null": (
        lambda g: _last(g).update(address=None),
        "validators[3].address is null; expected a text",
    ),
    "same keys": (
        lambda g: _last(g).update(public_key=_first(g)["public_key"]),
        "validators[0] and validators[3] have the same Ed25519 key",
    ),
    "same Ed25519 key": (
        lambda g: _last(g)["public_key"].update(ed25519=_first(g)["public_key"]["ed25519"]),
        "validators[0] and validators[3] have the same Ed25519 key",
    ),
    "same ML-DSA-87 key": (
        lambda g: _last(g)["public_key"].update(
            {"ml-dsa-87": _first(g)["public_key"]["ml-dsa-87"]}
        ),
        "validators[0] and validators[3] have the same ML-DSA-87 key",
    ),
    "key is a text": (
        lambda g: _last(g).update(public_key="x"),
        'validators[3].public_key is "x"; expected an object',
    ),
    "key is no base64": (
        lambda g: _last(g)["public_key"].update(ed25519="?" * 44),
        f'validators[3].public_key.ed25519 is "{"?" * 44}"; expected base64',
    ),
    "key is not ASCII": (
        lambda g: _last(g)["public_key"].update(ed25519="é" * 44),
        "validators[3].public_key.ed25519 is ",
    ),
    "key in a second base64": (
        lambda g: _last(g)["public_key"].update(ed25519=NOT_CANONICAL),
        "validators[3].public_key.ed25519 is not the one base64 text for its bytes",
    ),
    "short key": (
        lambda g: _last(g)["public_key"].update({"ml-dsa-87": "AAAA"}),
        "validators[3].public_key.ml-dsa-87 has 3 bytes; expected 2592",
    ),
    "weak key": (
        lambda g: _last(g)["public_key"].update(ed25519=SMALL_ORDER),
        "validators[3].public_key is an Ed25519 public key of small order",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_document_is_refused_in_one_sentence(name: str) -> None:
    damage, sentence = DAMAGES[name]
    value = document()
    damage(value)
    assert refused(json.dumps(value)).startswith(sentence)


@pytest.mark.parametrize("path", paths_of(document()), ids=lambda path: ".".join(map(str, path)))
def test_every_field_is_required(path: tuple[str | int, ...]) -> None:
    value: Any = document()
    holder: Any = value
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    assert refused(json.dumps(value)).endswith(f'lacks the field "{path[-1]}"')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not JSON at line 1, column 1: Expecting value"),
        ('{\n"a": }', "not JSON at line 2, column 6: Expecting value"),
        ("\ufeff{}", "not JSON at line 1, column 1: Unexpected UTF-8 BOM"),
        ("[" * 100_000, "not JSON that anybody needs: nested too deeply"),
        ("[]", "the genesis document is []; expected an object"),
        ("null", "the genesis document is null; expected an object"),
        ("{}", 'the genesis document lacks the field "version"'),
        ('{"a": 1, "a": 1}', 'an object has the field "a" twice'),
        ('{"b": {"\\n": 1, "\\n": 1}}', 'an object has the field "\\n" twice'),
        ('{"a": NaN}', "a number is NaN; JSON knows no such number"),
        ('{"a": -Infinity}', "a number is -Infinity; JSON knows no such number"),
        ('{"a": 1e999}', "a number is 1e999; no number here is so large"),
        (f'{{"a": {"9" * 5000}}}', "a number has 5000 characters; no number here is so long"),
        (f'{{"a": 0.{"9" * 5000}}}', "a number has 5002 characters; no number here is so long"),
        (" " * (FILE_BYTES_MAX + 1), "over 1048576 characters long, so no genesis document"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_text_that_is_no_document_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    assert refused(text).startswith(sentence)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\xff", "not UTF-8, so no genesis document"),
        (b"{}", 'the genesis document lacks the field "version"'),
        (b" " * (FILE_BYTES_MAX + 1), "over 1048576 bytes long, so no genesis document"),
    ],
    ids=["not UTF-8", "empty", "large"],
)
def test_a_bad_file_is_named(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "genesis.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        read(path)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def _parse(text: str) -> None:
    try:
        made = parse_untrusted(text)
    except ConfigError as error:
        sentence = str(error)
    else:
        assert parse_untrusted(made.render()) == made
        return
    assert sentence.isprintable()
    assert len(sentence) < 1000


@given(st.data())
def test_a_document_with_any_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    value: Any = document()
    path = data.draw(st.sampled_from(paths_of(value)))
    holder: Any = value
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = data.draw(_json)
    _parse(json.dumps(value))


@given(st.text() | _json.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    _parse(text)


@given(st.integers(0, 20_000), st.sampled_from(['"', "\\", "{", "[", ",", "0", "e", "\0", ""]))
def test_a_text_with_any_character_changed_is_read_or_refused(place: int, other: str) -> None:
    text = genesis().render()
    place %= len(text)
    _parse(text[:place] + other + text[place + 1 :])
