"""What an operator reads while a node does not know what it said. SPEC C8."""

from pathlib import Path

import pytest

from cretonode.cli.layout import make_testnet
from cretonode.config.genesis import Genesis, read
from cretonode.config.load import load
from cretonode.core.messages import Attestation
from cretonode.identifiers import AuthorIndex, ValidatorIndex, View
from cretonode.node.service import amnesia_of
from tests.core.test_amnesia import NONCE, amnesiac, asks, attests


@pytest.fixture(scope="module")
def genesis(tmp_path_factory: pytest.TempPathFactory) -> Genesis:
    node = make_testnet(tmp_path_factory.mktemp("made") / "net", size=4)[0]
    return read(Path(load(node.config_path, environment={}, flags={}).node.genesis_path))


def test_it_says_whose_word_it_waits_for_and_then_up_to_which_view(genesis: Genesis) -> None:
    tested = amnesiac()
    tested.hear(attests(0, 4))
    assert amnesia_of(genesis, tested.replica).endswith("attestations of node2, node3")
    tested.hear(attests(2, 4), attests(3, 4))
    assert amnesia_of(genesis, tested.replica).endswith("silent up to view 5")


def test_it_says_when_too_many_forgot(genesis: Genesis) -> None:
    tested = amnesiac()
    tested.hear(asks(3, 0))
    told = amnesia_of(genesis, tested.replica)
    assert "so are too many: node1, node3; at most 1" in told
    assert "cretonode recover" in told
    assert not tested.replica.amnesia.attested


def test_an_attestation_about_another_is_not_waited_for(genesis: Genesis) -> None:
    tested = amnesiac()
    other = Attestation(
        about=ValidatorIndex(2),
        nonce=NONCE,
        view=View(1),
        index=AuthorIndex(0),
        author=ValidatorIndex(0),
    )
    tested.hear(other)
    assert "node0" in amnesia_of(genesis, tested.replica)
