"""Whom to ask: one that fails costs one timeout and comes last."""

from dataclasses import replace

from cretonode.core.effects import Reason, Refuse
from cretonode.core.messages import SlotHeaders
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from cretonode.limits import FETCH_BYTES_MAX
from tests.core.catching_up import (
    PATIENCE_MS,
    Network,
    behind,
    fetches,
    headers,
    refusals,
    requests,
)
from tests.core.replicas import of


def test_a_stalling_peer_costs_one_timeout_and_the_next_one_is_asked() -> None:
    """DESIGN 2, Catch-up."""
    tested, effects = behind(0, 2, 3)
    asked = [requests(effects)[0][0]]
    for _ in range(3):
        assert not requests(tested.wait(PATIENCE_MS - 1))
        effects = tested.wait(1)
        assert refusals(effects) == [(asked[-1], Reason.TOO_SLOW)]
        asked += [peer for peer, _, _ in requests(effects)]
    assert asked[:3] == [0, 2, 3]
    assert asked[3] in (0, 2, 3), "when all have failed, none is given up for good"


def test_a_peer_that_failed_is_left_alone_for_a_while() -> None:
    tested, effects = behind(0, 2, gap=200)
    network = Network(tested, silent={0})
    network.play(effects)
    network.play(tested.wait(PATIENCE_MS))
    assert tested.replica.state.final == 200
    assert len([peer for peer, _ in network.asked if peer == 0]) == 1


def test_when_all_are_slow_they_are_given_more_time_and_asked_for_less() -> None:
    """An overloaded network must not be asked for everything twice."""
    tested, _ = behind(0, 2, 3)
    network = Network(tested, silent={0, 2, 3})
    suppliers = tested.replica.catch_up.suppliers
    for _ in range(12):
        network.play(tested.wait(8 * PATIENCE_MS))
    assert suppliers.silence_ms == 8 * PATIENCE_MS
    assert all(suppliers.bytes_max(ValidatorIndex(p)) < FETCH_BYTES_MAX for p in (0, 2, 3))
    network.silent = set()
    for _ in range(3):
        network.play(tested.wait(8 * PATIENCE_MS))
    assert tested.replica.state.final == 100


def test_a_late_answer_is_neither_believed_nor_blamed() -> None:
    tested, _ = behind(0, 2)
    tested.wait(PATIENCE_MS)
    effects = tested.hear(replace(headers(1, 64), headers=()), sender=0)
    assert not of(effects, Refuse)
    assert not fetches(tested.hear(headers(1, 64), sender=0))


def test_a_peer_with_nothing_to_give_is_not_blamed() -> None:
    tested, _ = behind(0, 2)
    nothing = SlotHeaders(
        first=SequenceNumber(1), certificate=None, checkpoint=None, headers=(), anchors=()
    )
    effects = tested.hear(nothing, sender=0)
    assert requests(effects) == [(2, 1, 64)]
    assert not of(effects, Refuse)
