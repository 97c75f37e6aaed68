"""Catching up: which ranges are asked for and when, and what a replica far behind leaves alone."""

from dataclasses import replace

import pytest

from cretonode.core.effects import Effect, Finalize, Refuse, Say, Serve, Stable
from cretonode.core.events import PeerConnected
from cretonode.core.messages import FetchSlots, FetchVertices, VertexMessage
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from cretonode.limits import BEHIND_SEQUENCES, FETCH_SLOTS_MAX, HEADERS_AHEAD_MAX
from tests.core.catching_up import (
    CHAIN,
    Network,
    PacedNetwork,
    behind,
    fetches,
    finals,
    headers,
    refusals,
    requests,
)
from tests.core.replicas import (
    TIMING,
    batch_of,
    committed,
    make_replica,
    named,
    of,
    plain,
    sent,
    stable,
)
from tests.core.test_retransmission import status_of

# --- whom and what


def test_a_range_is_asked_of_a_peer_that_is_ahead() -> None:
    """SPEC C9."""
    _, effects = behind(2)
    assert requests(effects) == [(2, 1, FETCH_SLOTS_MAX)]


def test_a_small_gap_is_closed_by_hash() -> None:
    tested, effects = behind(2, gap=BEHIND_SEQUENCES - 1)
    assert not requests(effects)
    (fetch,) = sent(tested.wait(TIMING.fetch_delay_ms), FetchVertices)
    assert fetch.hashes == (named(CHAIN[BEHIND_SEQUENCES - 2][-1]),)


def test_nobody_is_asked_while_nobody_is_ahead() -> None:
    tested, effects = behind()
    assert not requests(effects)
    assert requests(tested.hear(status_of(final=100), sender=3)) == [(3, 1, FETCH_SLOTS_MAX)]


def test_without_a_certificate_no_peer_is_believed() -> None:
    """DESIGN 2, Catch-up: believe only certificates."""
    tested = make_replica()
    tested.step(PeerConnected(ValidatorIndex(2)))
    assert not requests(tested.hear(status_of(final=10_000), sender=2))
    assert not tested.replica.state.behind


def test_a_range_ends_where_the_known_certificates_end() -> None:
    _, effects = behind(0, gap=20)
    assert requests(effects) == [(0, 1, 20)]


def test_the_next_headers_come_while_vertices_are_fetched() -> None:
    tested, _ = behind(0, 2, 3)
    (asked,) = requests(tested.hear(headers(1, 64), sender=0))
    assert asked[1:] == (65, 36)


def test_a_long_way_is_made_with_all_peers() -> None:
    tested, effects = behind(0, 2, 3, gap=200)
    network = Network(tested)
    assert finals(network.play(effects)) == list(range(1, 201))
    assert len({peer for peer, kind in network.asked if kind == "FetchVertices"}) > 1
    assert not tested.replica.state.behind
    assert not of(tested.everything, Refuse)


def test_each_sequence_is_final_as_soon_as_its_vertices_are_here() -> None:
    """An interruption then loses nothing, and no step is long."""
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    assert finals(tested.hear(*CHAIN[0], sender=0)) == [1]
    assert finals(tested.hear(*CHAIN[1], *CHAIN[2], sender=0)) == [2, 3]


def test_the_certificate_of_a_range_is_kept_with_its_sequence() -> None:
    """Whoever has caught up can serve others. CatchUp.tla, Shown."""
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    effects = tested.hear(*[m for slot in CHAIN[:64] for m in slot], sender=0)
    assert of(effects, Finalize)[-1].certificate == committed(0, CHAIN[63][-1])


def test_a_checkpoint_in_a_range_becomes_stable_once_executed() -> None:
    """The journal rotates and memory is freed while a long way is made."""
    ahead = make_replica(3)
    ahead.hear(*[m for slot in CHAIN[:8] for m in slot], committed(0, CHAIN[7][-1]), sender=0)
    digest = ahead.replica.state.log.root()
    tested, _ = behind(0)
    tested.hear(replace(headers(1, 64), checkpoint=stable(8, digest)), sender=0)
    effects = tested.hear(*[m for slot in CHAIN[:20] for m in slot], sender=0)
    assert [e.certificate.sequence for e in of(effects, Stable)] == [8]
    assert tested.replica.state.low == 8


def test_an_interruption_goes_on_where_it_was() -> None:
    """SPEC C8, C9: what is stored and final is not fetched again."""
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    tested.hear(*[m for slot in CHAIN[:30] for m in slot], CHAIN[30][0], sender=0)
    again = tested.restart()
    again.step(PeerConnected(ValidatorIndex(0)))
    again.hear(status_of(final=100), sender=0)
    assert requests(again.hear(committed(0, CHAIN[99][-1]))) == [(0, 31, 64)]
    asked = fetches(Network(again).play(again.hear(headers(31, 64), sender=0)))
    assert named(CHAIN[30][0]) not in asked[0][1], "it was stored before the crash"
    assert asked[0][1][0] == named(CHAIN[30][1])


def test_vertices_that_no_range_names_are_let_go_while_behind() -> None:
    """The live end neither floods memory nor is refused: ranges bring it in time."""
    tested, _ = behind(0)
    effects: list[Effect] = []
    for index in range(2, 2_000):
        effects += tested.hear(plain(3, index, CHAIN[150][-1]), sender=3)
    assert not of(effects, Refuse)
    assert not tested.replica.state.graph.orphans


# --- while behind


def test_who_is_behind_makes_no_vertex() -> None:
    tested, _ = behind(0)
    assert tested.replica.state.behind
    assert not tested.replica.wants_batch()


def test_a_leader_that_is_behind_proposes_nothing() -> None:
    tested = make_replica(0)
    tested.step(PeerConnected(ValidatorIndex(2)))
    tested.do(batch_of(b"waits"))
    count = len([e for e in of(tested.everything, Say) if isinstance(e.statement, VertexMessage)])
    tested.hear(committed(0, CHAIN[99][-1]))
    tested.now_ms += 1_000
    tested.hear(plain(2, 1))
    tested.wait(1_000)
    said = [e for e in of(tested.everything, Say) if isinstance(e.statement, VertexMessage)]
    assert len(said) == count


def test_nobody_sends_votes_to_who_is_far_behind() -> None:
    """They would be dropped: it learns the newest certificate and fetches ranges."""
    tested = make_replica()
    tested.hear(*[m for slot in CHAIN[:20] for m in slot], committed(0, CHAIN[19][-1]), sender=0)
    effects = tested.hear(status_of(final=2), sender=3)
    assert sent(effects, type(committed(0, CHAIN[19][-1])), 3) == [committed(0, CHAIN[19][-1])]
    assert not of(effects, Serve)


# --- bounds


def test_nothing_is_asked_beyond_a_sequence_whose_headers_fit_no_answer() -> None:
    """Its vertices are named by nobody: an honest answer would seem to leave them out."""
    tested, _ = behind(2, gap=100)
    effects = tested.hear(headers(1, 0, extra=5), sender=2)
    assert requests(effects) == []
    (fetch,) = sent(effects + tested.wait(TIMING.fetch_delay_ms), FetchVertices)
    assert fetch.hashes == (named(CHAIN[0][-1]),)
    effects = tested.hear(*CHAIN[0])
    assert finals(effects) == [1]
    assert requests(effects) == [(2, 2, FETCH_SLOTS_MAX)]


@pytest.mark.parametrize("large", [{1}, {1, 2}, {64, 65, 120}, {40, 80, 120, 160, 199}])
def test_whoever_serves_large_sequences_is_not_accused(large: set[int]) -> None:
    """What an honest peer may not be accused of: SPEC B1."""
    tested, effects = behind(0, 2, 3, gap=200)
    network = PacedNetwork(tested, head=200, large=large)
    network.play(effects, ms=10_000)
    assert refusals(tested.everything) == []
    assert tested.replica.state.final > 200


def test_headers_are_not_asked_for_without_end() -> None:
    tested, effects = behind(0, 2, 3, gap=200)
    network = Network(tested)
    for _ in range(20):
        asked = requests(effects)
        if not asked:
            break
        effects = [e for p, f, c in asked for e in tested.hear(headers(f, c), sender=p)]
    assert len(tested.replica.catch_up.bodies) <= HEADERS_AHEAD_MAX + 2 * FETCH_SLOTS_MAX
    assert len(tested.replica.execution.proven) <= 2 * FETCH_SLOTS_MAX
    assert not network.asked


def test_few_certificates_are_kept_while_far_behind() -> None:
    tested, _ = behind(0)
    for slot in CHAIN[100:200]:
        tested.hear(committed(0, slot[-1]))
    assert len(tested.replica.execution.waiting) <= BEHIND_SEQUENCES
    assert tested.replica.catch_up.target == 200


def test_a_request_for_slots_is_served_from_storage_and_cut_to_its_bound() -> None:
    tested = make_replica()
    effects = tested.hear(FetchSlots(first=SequenceNumber(7), count=10_000), sender=3)
    assert of(effects, Serve) == [
        Serve(ValidatorIndex(3), first=SequenceNumber(7), count=FETCH_SLOTS_MAX)
    ]
