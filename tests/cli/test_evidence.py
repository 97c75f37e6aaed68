"""`cretonode evidence verify`: a file and a genesis document, nothing else."""

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cretonode.cli.commands import cli
from cretonode.cli.layout import GENESIS_FILE, make_testnet
from cretonode.config.genesis import read
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import Commit, Evidence
from cretonode.core.statements import statement_of
from cretonode.crypto import keystore
from cretonode.crypto.signatures import Signer
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.wire.messages import encode_message


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "network"
    make_testnet(place, size=4)
    return place


@pytest.fixture(scope="module")
def proof(network: Path) -> Evidence:
    """Validator 2 commits to two anchors."""
    genesis = read(network / GENESIS_FILE)
    secret = keystore.load(network / "node2" / "keys", None)
    signer = Signer(genesis.crypto_mode, secret)
    commits = []
    for anchor in (1, 2):
        said = Commit(
            view=View(7),
            sequence=SequenceNumber(9),
            anchor=VertexHash(bytes([anchor]) * 32),
            author=ValidatorIndex(2),
        )
        signature = signer.sign(statement_of(genesis.committee(), said))
        commits.append(dataclasses.replace(said, signature=signature))
    evidence = evidence_of(*commits)
    assert evidence is not None
    return evidence


def document_of(evidence: Evidence) -> dict[str, object]:
    encoded = base64.b64encode(encode_message(evidence)).decode()
    return {"format": "cretonode evidence", "version": 1, "evidence": encoded}


def verify(network: Path, file: Path, *options: str) -> Result:
    arguments = ["evidence", "verify", "--genesis", str(network / GENESIS_FILE), *options]
    return CliRunner().invoke(cli, [*arguments, str(file)])


def test_a_true_proof_is_shown_and_exits_with_0(
    network: Path, proof: Evidence, tmp_path: Path
) -> None:
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(document_of(proof)))
    done = verify(network, file)
    assert done.exit_code == 0, done.output
    assert "PROVEN: node2 signed both: two commits for view 7, sequence 9" in done.output
    assert done.output.count("view 7, sequence 9, anchor") == 2
    shown = json.loads(verify(network, file, "--json").output)
    assert (shown["valid"], shown["name"], shown["reason"]) == (True, "node2", "")


def test_a_forged_proof_exits_with_1(network: Path, proof: Evidence, tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    author = ValidatorIndex(1)
    forged = Evidence(
        first=dataclasses.replace(proof.first, author=author),
        second=dataclasses.replace(proof.second, author=author),
    )
    file.write_text(json.dumps(document_of(forged)))
    done = verify(network, file)
    assert done.exit_code == 1
    assert "NOT PROVEN: validator 1 did not sign one of the statements" in done.output
    assert json.loads(verify(network, file, "--json").output)["valid"] is False


def test_a_proof_of_another_chain_exits_with_1(
    network: Path, proof: Evidence, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    make_testnet(other, size=4, chain_id="other")
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(document_of(proof)))
    assert verify(other, file).exit_code == 1
    assert verify(network, file).exit_code == 0


def test_an_author_that_does_not_exist_exits_with_1(
    network: Path, proof: Evidence, tmp_path: Path
) -> None:
    nobody = ValidatorIndex(99)
    file = tmp_path / "proof.json"
    strange = Evidence(
        first=dataclasses.replace(proof.first, author=nobody),
        second=dataclasses.replace(proof.second, author=nobody),
    )
    file.write_text(json.dumps(document_of(strange)))
    done = verify(network, file)
    assert done.exit_code == 1
    assert "validator 99" in done.output


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no evidence"),
        (b'{"format": "cretonode evidence", "version": 2}', "has version 2; expected 1"),
        (b'{"format": "cretonode evidence", "version": 1}', "cannot be read"),
        (b'{"format": "cretonode evidence", "version": 1, "evidence": "gA=="}', "cannot be read"),
        (b" " * 300_000, "over 262144 bytes"),
    ],
    ids=["bytes", "deep", "a list", "version", "without", "no message", "too long"],
)
def test_what_is_no_proof_exits_with_2(
    network: Path, tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "proof.json"
    file.write_bytes(content)
    done = verify(network, file)
    assert done.exit_code == 2
    assert complaint in done.stderr


@pytest.mark.parametrize("text", ["0s", "00d", "3651d", "99999999999d"])
def test_a_time_that_is_too_short_or_long_is_refused_with_the_limits(text: str) -> None:
    done = CliRunner().invoke(
        cli,
        ["bans", "add", "node1", "--reason", "x", "--for", text, "--socket", "/nowhere.sock"],
    )
    assert done.exit_code == 2
    assert f"--for {text}: expected 1s to 3650d" in done.stderr


@pytest.mark.parametrize("text", ["1", "1w", "-1h", "1 h", ""])
def test_a_time_that_is_none_is_refused_before_anybody_is_asked(text: str) -> None:
    done = CliRunner().invoke(
        cli,
        ["bans", "add", "node1", "--reason", "x", "--for", text, "--socket", "/nowhere.sock"],
    )
    assert done.exit_code == 2
    assert "expected a time like 90s, 30m, 1h or 2d" in done.stderr
