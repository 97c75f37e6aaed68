"""Whom to ask: one that fails costs one timeout and comes last."""

from dataclasses import replace

from cretonode.core.effects import Reason, Refuse
from cretonode.core.messages import FetchSlots, FetchVertices, SlotHeaders
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import BEHIND_SEQUENCES, FETCH_BYTES_MAX
from tests.core.catching_up import (
    BODIES,
    CHAIN,
    PATIENCE_MS,
    Network,
    PacedNetwork,
    behind,
    fetches,
    finals,
    headers,
    refusals,
    requests,
)
from tests.core.replicas import of
from tests.core.test_retransmission import status_of


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


# --- who is doubted


def test_who_failed_holds_up_nothing_while_another_does_well() -> None:
    """A liar and a staller cost a timeout each, however long the way and however fast it grows."""
    tested, effects = behind(0, 2, 3, gap=300)
    network = PacedNetwork(tested, head=300, lying={0}, silent={2})
    network.play(effects, ms=2 * PATIENCE_MS)
    failed = {peer for peer, _ in refusals(tested.everything)}
    assert failed == {0, 2}, "each has had its chance"
    network.play([], ms=2_000)
    assert network.head - tested.replica.state.final < BEHIND_SEQUENCES
    furthest = 0
    for _ in range(200):
        network.play([], ms=100)
        furthest = max(furthest, network.head - tested.replica.state.final)
    assert furthest <= BEHIND_SEQUENCES + 2, "it stays level"
    assert network.head < len(CHAIN), "the chain grew all the time"


def test_who_failed_is_asked_only_for_what_a_trusted_one_is_asked_for_as_well() -> None:
    tested, effects = behind(0, 2, 3, gap=300)
    suppliers = tested.replica.catch_up.suppliers
    suppliers.failed(ValidatorIndex(2), since_ms=0)
    suppliers._record(ValidatorIndex(2)).paused_until_ms = 0
    network = PacedNetwork(tested, head=300, silent={2}, growth_ms=1_000_000)
    network.play(effects, ms=PATIENCE_MS)
    assert tested.replica.state.final == 300, "without a timeout"
    assert all(isinstance(m, FetchVertices) for peer, m in network.asked if peer == 2)
    trusted = {h for peer, m in network.asked if peer != 2 for h in hashes_of(m)}
    doubted = {h for peer, m in network.asked if peer == 2 for h in hashes_of(m)}
    assert doubted, "it is tried again"
    assert doubted <= trusted


def test_who_failed_and_serves_again_is_trusted_again() -> None:
    tested, effects = behind(0, 2, gap=600)
    suppliers = tested.replica.catch_up.suppliers
    suppliers.failed(ValidatorIndex(2), since_ms=0)
    suppliers._record(ValidatorIndex(2)).paused_until_ms = 0
    network = PacedNetwork(tested, head=600, growth_ms=1_000_000)
    network.play(effects, ms=PATIENCE_MS)
    assert not suppliers.is_doubted(ValidatorIndex(2))


def test_what_only_a_doubted_peer_has_is_asked_of_it_until_a_trusted_one_has_it() -> None:
    """Statuses are a second apart: near the live end those that did well seem to be behind."""
    tested, _ = behind(0, gap=100)
    tested.replica.catch_up.suppliers.failed(ValidatorIndex(0), since_ms=0)
    tested.replica.catch_up._asked = None
    tested.replica.catch_up.suppliers.ended(ValidatorIndex(0))
    assert requests(tested.wait(1)) == [(0, 1, 64)], "it alone says that it has it"
    assert requests(tested.hear(status_of(final=100), sender=2)) == [(2, 1, 64)]


def test_one_silence_is_one_failure_however_much_was_asked() -> None:
    """Or one standstill would make the only honest server look as bad as the liars."""
    tested, _ = behind(0, gap=200)
    tested.hear(headers(1, 64), sender=0)
    suppliers = tested.replica.catch_up.suppliers
    assert suppliers._record(ValidatorIndex(0)).under_way > 1
    tested.wait(PATIENCE_MS)
    assert suppliers._record(ValidatorIndex(0)).failures == 1


def test_what_the_best_peer_owes_is_not_asked_of_it_twice() -> None:
    """It is on its way, and the second request would only come behind the first."""
    tested, _ = behind(0, 2, 3, gap=64)
    suppliers = tested.replica.catch_up.suppliers
    for peer in (2, 3):
        for _ in range(3):
            suppliers.failed(ValidatorIndex(peer), since_ms=tested.now_ms)
            tested.now_ms += 1
            tested.step_tick()
    asked = fetches(tested.hear(headers(1, 64), sender=0))
    assert {peer for peer, _ in asked} == {0}
    effects = tested.wait(PATIENCE_MS)
    assert (0, Reason.TOO_SLOW) in refusals(effects)
    assert not [peer for peer, _ in fetches(effects) if peer == 0]
    messages = [BODIES[h] for _, part in asked for h in part]
    assert finals(tested.hear(*messages, sender=0))[-1] == 64


def hashes_of(message: FetchSlots | FetchVertices) -> tuple[VertexHash, ...]:
    return message.hashes if isinstance(message, FetchVertices) else ()
