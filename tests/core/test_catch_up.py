"""Fetching ranges: one request at a time, and nothing a peer says is believed.

The replica is validator 1 of 4, far behind; 0, 2 and 3 say how far they are.
"""

from cretonode.core.catch_up import GAP_MIN
from cretonode.core.effects import Effect, Finalize, Refuse, Send, Serve
from cretonode.core.events import PeerConnected
from cretonode.core.messages import FetchSlots, FetchVertices
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from cretonode.limits import AUTHOR_HELD_MAX, AUTHOR_UNFINAL_MAX, FETCH_SLOTS_MAX
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchor,
    anchors,
    committed,
    make_replica,
    named,
    of,
    plain,
    sent,
)
from tests.core.test_retransmission import status_of

A = anchors(0, 200)
PATIENCE_MS = 4 * TIMING.fetch_timeout_ms


def behind(*ahead: int, gap: int = 100) -> tuple[Driven, list[Effect]]:
    """Return a replica that has just seen a certificate for sequence `gap`."""
    tested = make_replica()
    for peer in (0, 2, 3):
        tested.step(PeerConnected(ValidatorIndex(peer)))
        tested.hear(status_of(final=gap if peer in ahead else 0), sender=peer)
    return tested, tested.hear(committed(0, A[gap - 1]))


def requests(effects: list[Effect]) -> list[tuple[int, int, int]]:
    """Return who was asked, from which sequence, for how many."""
    return [
        (e.peer, e.message.first, e.message.count)
        for e in of(effects, Send)
        if isinstance(e.message, FetchSlots)
    ]


def test_a_range_is_asked_of_a_peer_that_is_ahead() -> None:
    """SPEC C9."""
    _, effects = behind(2)
    assert requests(effects) == [(2, 1, FETCH_SLOTS_MAX)]


def test_a_small_gap_is_closed_by_hash() -> None:
    tested, effects = behind(2, gap=GAP_MIN - 1)
    assert not requests(effects)
    (fetch,) = sent(tested.wait(TIMING.fetch_delay_ms), FetchVertices)
    assert fetch.hashes == (named(A[GAP_MIN - 2]),)


def test_nobody_is_asked_while_nobody_is_ahead() -> None:
    tested, effects = behind()
    assert not requests(effects)
    assert requests(tested.hear(status_of(final=100), sender=3)) == [(3, 1, FETCH_SLOTS_MAX)]


def test_without_a_certificate_no_peer_is_believed() -> None:
    """DESIGN 2, Catch-up: believe only certificates."""
    tested = make_replica()
    tested.step(PeerConnected(ValidatorIndex(2)))
    assert not requests(tested.hear(status_of(final=10_000), sender=2))


def test_one_request_is_under_way_at_a_time() -> None:
    tested, _ = behind(0, 2, 3)
    effects = tested.hear(committed(0, A[119]), A[0], status_of(final=120), sender=2)
    assert not requests(effects)
    assert tested.replica.catch_up.next_deadline_ms() == tested.now_ms + PATIENCE_MS


def test_a_stalling_peer_costs_one_timeout_and_the_next_one_is_asked() -> None:
    """DESIGN 2, Catch-up."""
    tested, effects = behind(0, 2, 3)
    asked = [requests(effects)[0][0]]
    for _ in range(4):
        assert not requests(tested.wait(PATIENCE_MS - 1))
        asked += [peer for peer, _, _ in requests(tested.wait(1))]
    assert asked == [0, 2, 3, 0, 2]


def test_a_peer_that_makes_progress_is_given_time() -> None:
    tested, _ = behind(0, 2)
    for i in range(5):
        tested.now_ms += PATIENCE_MS - 1
        assert not requests(tested.hear(A[i], committed(0, A[i]), sender=0))
    assert requests(tested.wait(PATIENCE_MS)) == [(2, 6, FETCH_SLOTS_MAX)]


def test_the_next_range_follows_at_once() -> None:
    """SPEC C9: far faster than new traffic."""
    tested, _ = behind(0, 2)
    effects = tested.hear(*A[:64], committed(0, A[63]), sender=0)
    assert requests(effects) == [(0, 65, FETCH_SLOTS_MAX)]


def test_a_range_in_any_order_ends_in_the_same_finality() -> None:
    tested, _ = behind(0)
    effects = tested.hear(*reversed(A[:100]), sender=0)
    assert [f.sequence for f in of(effects, Finalize)] == list(range(1, 101))
    assert not of(effects, Refuse), "what was asked for is not refused for its number"
    assert tested.replica.catch_up.target == 100


def test_vertices_without_a_certificate_finalize_nothing() -> None:
    tested, _ = behind(0)
    assert not of(tested.hear(*A[:64], plain(2, 1), sender=0), Finalize)


def test_what_a_lying_peer_sends_does_not_stop_the_others() -> None:
    tested, _ = behind(0, 2)
    fork = anchors(3, 64)
    effects = tested.hear(*fork, sender=0)
    effects += tested.wait(PATIENCE_MS)
    assert requests(effects) == [(2, 1, FETCH_SLOTS_MAX)]
    effects = tested.hear(*A[:64], committed(0, A[63]), sender=2)
    assert [f.sequence for f in of(effects, Finalize)] == list(range(1, 65))


def test_the_trust_in_an_answering_peer_is_bounded() -> None:
    """SPEC C5. 64 sequences with 64 vertices of one author each are the most that a request can
    honestly bring; a liar's own vertices go beyond any bound while it is trusted."""
    tested, _ = behind(0)
    honest = FETCH_SLOTS_MAX * AUTHOR_UNFINAL_MAX + AUTHOR_HELD_MAX
    for index in range(1, honest + 100):
        tested.hear(plain(3, index), sender=0)
    assert tested.replica.state.graph.held_by(ValidatorIndex(3)) <= honest


def test_a_request_for_slots_is_served_from_storage_and_cut_to_its_bound() -> None:
    tested = make_replica()
    effects = tested.hear(FetchSlots(first=SequenceNumber(7), count=10_000), sender=3)
    assert of(effects, Serve) == [
        Serve(ValidatorIndex(3), first=SequenceNumber(7), count=FETCH_SLOTS_MAX)
    ]


def test_a_range_that_ends_where_the_chain_ends_frees_the_peer() -> None:
    """The peer answered with all there was; the next gap need not wait for its deadline."""
    tested, _ = behind(0, 2, gap=20)
    tested.hear(*A[:20], sender=0)
    assert tested.replica.state.final == 20
    assert requests(tested.hear(committed(0, A[59]), status_of(final=60), sender=0)) == [
        (0, 21, FETCH_SLOTS_MAX)
    ]
    assert anchor(0, 1, ROOT) == A[0]
