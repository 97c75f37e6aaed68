"""`cretonode recover` as its operators use it: files from hand to hand, and sentences."""

import base64
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cretonode.cli.commands import cli
from cretonode.core.evidence import evidence_of
from cretonode.core.messages import Commit
from cretonode.core.statements import statement_of
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.node.recovery import open_stopped
from cretonode.wire.messages import encode_message
from tests.node.recoverable import Network, make_network


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Nodes 0 to 2 have five sequences final, node 3 has three; 0 and 1 know of a sixth."""
    network = make_network(tmp_path_factory.mktemp("recover") / "net")
    for node, final in enumerate((5, 5, 5, 3)):
        network.fill(node, final)
    network.store(0, 6)
    for node in (0, 1):
        network.fill(node, 0, high=6)
    shutil.copytree(network.place, network.place.with_name("saved"))
    return network


@pytest.fixture
def untouched(made: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    """The network for tests that change nothing; files go into a directory of their own."""
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def network(untouched: Network) -> Network:
    """The same network, its disks as they were made."""
    shutil.rmtree(untouched.place)
    shutil.copytree(untouched.place.with_name("saved"), untouched.place)
    return untouched


def run(*arguments: object, answer: str = "") -> Result:
    return CliRunner().invoke(cli, ["recover", *map(str, arguments)], input=answer)


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def refused(*arguments: object, answer: str = "") -> str:
    result = run(*arguments, answer=answer)
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


def plan_of(network: Network, *nodes: int) -> str:
    """Propose on these nodes and make a plan; return what was printed."""
    for node in nodes:
        done("propose", "--config", network.paths[node])
    proposals = [f"recovery-proposal-node{node}.json" for node in nodes]
    return done("plan", "--genesis", network.genesis_path, *proposals)


def signed_by(network: Network, *nodes: int) -> list[str]:
    for node in nodes:
        done("sign", "--yes", "--config", network.paths[node], "recovery-plan.json")
    return [f"recovery-signed-node{node}.json" for node in nodes]


def test_the_whole_way_with_the_names_that_files_have_by_themselves(network: Network) -> None:
    told = plan_of(network, 0, 1, 2)
    assert "from incarnation 0 to 1" in told
    assert "goes on after sequence 6" in told
    assert "Certified final is 5; 6 to 6 were prepared" in told
    signed = signed_by(network, 0, 1, 2)
    apply = ("apply", "--config", network.paths[0])
    assert "in incarnation 1, which goes on after sequence 6" in done(*apply, *signed)
    assert "already in incarnation 1; nothing was changed" in done(*apply, *signed)
    done("export", "--config", network.paths[0])
    shown = done("show", "--genesis", network.genesis_path, "recovery.json")
    assert "node0, node1, node2" in shown
    assert "it can be applied" in shown
    late = done("apply", "--config", network.paths[3], "recovery.json")
    assert "starts as an amnesiac" in late
    assert "final here is 3: the node fetches the rest" in late
    again = json.loads(run("show", "--json", "--genesis", network.genesis_path, signed[0]).stdout)
    assert (again[0]["to_incarnation"], again[0]["signed_by"]) == (1, ["node0"])


def test_whoever_does_not_confirm_has_promised_nothing(network: Network) -> None:
    plan_of(network, 0, 1, 2)
    sign = ("sign", "--config", network.paths[0], "recovery-plan.json")
    assert "not signed; nothing was changed" in refused(*sign, answer="n\n")
    assert not Path("recovery-signed-node0.json").exists()
    with open_stopped(network.configs[0]) as stopped:
        assert stopped.store.promised() is None
    assert run(*sign, answer="y\n").exit_code == 0


def test_the_plan_says_what_the_missing_may_have(network: Network) -> None:
    """n = 4: two whole journals know of everything, unless one lies; three in any case."""
    assert "NOTHING IS LOST, unless one of the 2 validators" in plan_of(network, 0, 1, 2)
    told = plan_of(network, 0, 2, 3)
    assert "SOMETHING MAY BE LOST: of the vote journals 1 are whole; it takes 2 to know" in told
    assert "If node1 had more final than sequence 6" in told
    network.fill(2, 0, high=6)
    assert "NOTHING IS LOST: 3 journals are whole" in plan_of(network, 0, 1, 2)
    shutil.rmtree(Path(network.configs[0].node.data_dir) / "db")
    assert "NOT HELD by anybody here: sequence 6" in plan_of(network, 0, 1, 2)
    assert "NOTHING IS LOST" not in plan_of(network, 0, 1, 2)
    told = plan_of(network, 0, 1, 2, 3)
    assert "All validators take part." in told
    assert "Whatever is final in any of these databases is kept" in told


def test_a_plan_for_programs_says_the_same(network: Network) -> None:
    plan_of(network, 0, 1, 2)
    proposals = [f"recovery-proposal-node{node}.json" for node in (0, 1, 2)]
    printed = run("plan", "--json", "--genesis", network.genesis_path, *proposals).stdout
    plan = json.loads(printed)
    assert (plan["base"], plan["final"], plan["missing"]) == (6, 5, ["node3"])
    assert [p["journal"] for p in plan["proposals"]] == ["whole", "whole", "empty"]
    assert (plan["whole_journals"], plan["whole_journals_needed"]) == (2, 3)


def test_too_few_signatures_are_no_recovery(network: Network) -> None:
    plan_of(network, 0, 1, 2)
    signed = signed_by(network, 0, 1)
    apply = ("apply", "--config", network.paths[3])
    assert "signed by 2 of the 3 validators" in refused(*apply, *signed, signed[0])
    with open_stopped(network.configs[3]) as stopped:
        assert stopped.store.recoveries() == ()


def test_signatures_of_two_plans_are_not_mixed(network: Network) -> None:
    plan_of(network, 0, 1, 2)
    first = signed_by(network, 0)[0]
    Path(first).rename("first.json")
    plan_of(network, 0, 1, 2)
    others = signed_by(network, 0, 1)
    told = refused("apply", "--config", network.paths[3], "first.json", *others)
    assert "signatures of two different recoveries" in told


def test_the_data_directory_of_a_running_node_is_left_alone(network: Network) -> None:
    with open_stopped(network.configs[0]):
        for command in (("propose",), ("apply", "x.json"), ("sign", "x.json"), ("export",)):
            told = refused(command[0], "--config", network.paths[0], *command[1:])
            assert "is in use by process" in told, command


def test_a_node_without_a_recovery_has_none_to_export(network: Network) -> None:
    assert "in incarnation 0" in refused("export", "--config", network.paths[0])


def test_evidence_of_the_new_incarnation_is_proven_with_the_recovery_file(
    network: Network,
) -> None:
    plan_of(network, 0, 1, 2)
    done("apply", "--config", network.paths[0], "--output", "all", *signed_by(network, 0, 1, 2))
    with open_stopped(network.configs[0]) as stopped:
        committee = stopped.committee
    said = []
    for anchor in (1, 2):
        commit = Commit(
            view=View(7),
            sequence=SequenceNumber(9),
            anchor=VertexHash(bytes([anchor]) * 32),
            author=ValidatorIndex(2),
        )
        signature = network.signers[2].sign(statement_of(committee, commit))
        said.append(replace(commit, signature=signature))
    proof = evidence_of(*said)
    assert proof is not None
    data = base64.b64encode(encode_message(proof)).decode()
    document = {"format": "cretonode evidence", "version": 1, "evidence": data}
    Path("proof.json").write_text(json.dumps(document))
    verify = ["evidence", "verify", "--genesis", str(network.genesis_path), "proof.json"]
    assert CliRunner().invoke(cli, verify).exit_code == 1
    assert CliRunner().invoke(cli, [*verify, "--recovery", "all"]).exit_code == 0


BAD: dict[str, tuple[bytes, str]] = {
    "bytes": (b"\xff", "is not JSON"),
    "deep": (b"[" * 100_000, "is not JSON"),
    "a list": (b"[]", "is something else"),
    "other": (b'{"format": "cretonode evidence"}', "is something else"),
    "a proposal": (b'{"format": "cretonode recovery proposal"}', "`recover propose` wrote"),
    "a plan": (b'{"format": "cretonode recovery plan"}', "`recover plan` wrote"),
    "a version": (b'{"format": "%s", "version": 2}', "has version 2; expected 1"),
    "a chain": (
        b'{"format": "%s", "version": 1, "chain_id": "paris"}',
        "is of chain 'paris'; expected 'testnet'",
    ),
    "empty": (b'{"format": "%s", "version": 1, "chain_id": "testnet"}', "is missing"),
    "no base64": (
        b'{"format": "%s", "version": 1, "chain_id": "testnet", "recoveries": "?"}',
        "is not base64",
    ),
    "no recovery": (
        b'{"format": "%s", "version": 1, "chain_id": "testnet", "recoveries": "gA=="}',
        "it holds no recovery",
    ),
    "no line": (
        b'{"format": "%s", "version": 1, "chain_id": "testnet", "recoveries": "AA=="}',
        "recoveries are not an array",
    ),
}


@pytest.mark.parametrize(("content", "complaint"), BAD.values(), ids=BAD.keys())
def test_what_is_no_recovery_file_exits_with_2(
    untouched: Network, content: bytes, complaint: str
) -> None:
    Path("bad.json").write_bytes(content.replace(b"%s", b"cretonode recovery"))
    for command in (
        ("apply", "--config", untouched.paths[3]),
        ("show", "--genesis", untouched.genesis_path),
    ):
        assert complaint in refused(*command, "bad.json")


PARTS: dict[str, tuple[bytes, str]] = {
    "no list": (b"3", "not a list of one for each validator"),
    "too many": (b"[1, 2, 3, 4, 5]", "not a list of one for each validator"),
    "no proposal": (b"[1]", "proves nothing: no proposal"),
    "nothing in it": (b"[{}]", "proves nothing: a part of it is missing"),
    "noise": (b'[{"data": "AA==", "signature": "AA=="}]', "proves nothing: a proposal is not"),
    "none": (b"[]", "0 proposals; a recovery needs those of 3"),
}


@pytest.mark.parametrize(("content", "complaint"), PARTS.values(), ids=PARTS.keys())
def test_what_is_no_plan_is_not_signed(untouched: Network, content: bytes, complaint: str) -> None:
    Path("bad.json").write_bytes(
        b'{"format": "cretonode recovery plan", "version": 1, "chain_id": "testnet", '
        b'"proposals": %s}' % content
    )
    sign = ("sign", "--yes", "--config", untouched.paths[3], "bad.json")
    assert complaint in refused(*sign)
    with open_stopped(untouched.configs[3]) as stopped:
        assert stopped.store.promised() is None


def test_a_missing_file_is_named(untouched: Network) -> None:
    told = refused("plan", "--genesis", untouched.genesis_path, "nowhere.json")
    assert "nowhere.json: cannot be read: No such file or directory; expected" in told


def test_the_help_says_when_it_is_needed() -> None:
    told = " ".join(CliRunner().invoke(cli, ["recover", "--help"]).output.split())
    assert "more than n - q validators lost their vote journals" in told
    for command in ("propose", "plan", "sign", "apply", "export", "show"):
        assert command in told
