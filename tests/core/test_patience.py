"""Who may leave by timeout, and when: not one who is behind, or who has just got its quorum back.

The replica is validator 2 of 4, a backup in view 0.
"""

from cretonode.core.effects import Entered, Finalize
from cretonode.core.events import PeerConnected, PeerSilent, Tick
from cretonode.identifiers import ValidatorIndex
from tests.core.replicas import (
    TIMING,
    Driven,
    anchor,
    anchors,
    committed,
    make_replica,
    new_view,
    of,
    plain,
    view_change,
)

A = anchors(0, 12)
TIMEOUT_MS = TIMING.view_change_timeout_ms


def causes(tested: Driven) -> list[str]:
    return [effect.cause for effect in of(tested.everything, Entered)]


def silence(tested: Driven, *peers: int) -> None:
    for peer in peers:
        tested.step(PeerSilent(ValidatorIndex(peer)))


def connect(tested: Driven, *peers: int) -> None:
    for peer in peers:
        tested.step(PeerConnected(ValidatorIndex(peer)))


def test_who_is_behind_does_not_time_out() -> None:
    """A certificate above the own final sequence shows that the leader works: it is this replica
    that lacks something. It once left alone, and stayed away for twelve minutes."""
    tested = make_replica(2)
    tested.hear(plain(3, 1), committed(0, A[0]))
    tested.wait(20 * TIMEOUT_MS)
    assert causes(tested) == []


def test_the_time_spent_behind_is_taken_off_and_the_rest_still_counts() -> None:
    """Not begun anew: a leader that keeps everybody behind for a moment in turn could otherwise
    censor for ever."""
    tested = make_replica(2)
    tested.hear(plain(3, 1))
    tested.wait(TIMEOUT_MS - 1_000)
    tested.hear(committed(0, A[0]))
    tested.wait(7 * TIMEOUT_MS)
    assert of(tested.hear(A[0]), Finalize)
    assert tested.replica.views.next_deadline_ms() == tested.now_ms + 1_000
    tested.wait(999)
    assert causes(tested) == []
    tested.wait(1)
    assert causes(tested) == ["timeout"]


def test_a_certificate_is_no_moment_to_time_out_either() -> None:
    """The deadline has passed when it comes; what it makes final is looked at first."""
    tested = make_replica(2)
    tip = plain(3, 1)
    top = anchor(0, 2, A[0], tip)
    tested.hear(tip, A[0], top)
    tested.now_ms += 2 * TIMEOUT_MS
    assert of(tested.hear(committed(0, top)), Finalize)
    assert causes(tested) == []


def test_a_full_timeout_passes_after_a_quorum_is_connected_again() -> None:
    tested = make_replica(2)
    tested.hear(plain(3, 1))
    silence(tested, 1, 3)
    tested.wait(3 * TIMEOUT_MS)
    assert causes(tested) == [], "two of four cannot tell"
    connect(tested, 1)
    deadline_ms = tested.now_ms + TIMEOUT_MS
    tested.now_ms = deadline_ms - 1
    tested.do(Tick())
    assert causes(tested) == []
    tested.wait(1)
    assert causes(tested) == ["timeout"]


def test_the_same_holds_in_a_view_that_is_not_open() -> None:
    tested = make_replica(2)
    tested.hear_all(view_change(1, 1), view_change(1, 3))
    silence(tested, 0, 3)
    tested.wait(3 * TIMEOUT_MS)
    connect(tested, 3)
    tested.wait(TIMEOUT_MS - 1)
    assert causes(tested) == ["joined"]
    tested.wait(1)
    assert causes(tested) == ["joined", "timeout"]


def test_failures_of_the_time_without_a_quorum_do_not_lengthen_the_timeout() -> None:
    """DESIGN 2: an hour of partition must not cost more than seconds after it heals."""
    tested = make_replica(2)
    for view in range(1, 4):
        tested.hear_all(*(view_change(view, a) for a in (0, 1, 3)))
        tested.now_ms = tested.replica.views.next_deadline_ms()
        tested.do(Tick())
    assert tested.replica.views._timeout_ms() == TIMEOUT_MS << 3
    silence(tested, 0, 1)
    connect(tested, 0)
    assert tested.replica.views._timeout_ms() == TIMEOUT_MS


def test_a_leader_that_never_connects_is_suspected_and_one_that_does_is_not() -> None:
    """After a restart nobody reports the silence of one that was never heard: two of four that
    start while the leader is down must not wait for the timeout."""
    tested = make_replica(2, start=False)
    tested.replica.start(tested.now_ms)
    connect(tested, 1, 3)
    tested.wait(TIMING.suspect_ms // 2 - 1)
    assert not tested.replica.views.own_suspect() or tested.replica.deadline_ms() > tested.now_ms
    tested.do(Tick())
    assert tested.replica.views._suspicions() == 0
    tested.now_ms += 1
    tested.do(Tick())
    assert tested.replica.views._suspicions() == 1
    other = make_replica(2, start=False)
    other.replica.start(other.now_ms)
    connect(other, 0, 1)
    other.now_ms += TIMEOUT_MS
    other.do(Tick())
    assert other.replica.views._suspicions() == 0


def test_an_open_view_counts_from_its_opening() -> None:
    tested = make_replica(2)
    tested.hear(plain(3, 1))
    tested.wait(TIMEOUT_MS - 1)
    tested.hear(new_view(1))
    tested.wait(TIMEOUT_MS - 1)
    assert causes(tested) == ["new-view"]
