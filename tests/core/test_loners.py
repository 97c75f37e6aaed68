"""One that is alone in the next view is fetched back by the leader, and no liar can use that much.

The replica is validator 1 of 4. It leads view 1, which is open; 3 is ahead in view 2.
"""

from cretonode.core.effects import Entered
from cretonode.core.events import PeerSilent, Tick
from cretonode.core.messages import ViewChange
from cretonode.identifiers import ValidatorIndex
from tests.core.replicas import (
    TIMING,
    Driven,
    anchor,
    committed,
    make_replica,
    new_view,
    of,
    plain,
    prepared,
    said,
    sent,
    signed,
    view_change,
)

HOLD_MS = 2 * TIMING.suspect_ms
PAUSE_MS = 2 * TIMING.view_change_timeout_ms


def leading(view: int = 1, me: int = 1) -> Driven:
    """Return a leader whose view is open and has finalized its first sequence."""
    tested = make_replica(me)
    lead(tested, view)
    return tested


def lead(tested: Driven, view: int) -> None:
    final = tested.replica.state.chain.final
    high = prepared(view - 4, final) if final.sequence else None
    others = [view_change(view, a, high) for a in range(4) if a != tested.me]
    tested.hear_all(*others)
    assert tested.replica.state.leads
    top = tested.replica.state.chain.top
    tested.hear_all(committed(view, top))


def test_the_leader_of_an_open_view_steps_down_for_one_who_stays_ahead() -> None:
    """Seen for twelve minutes: a replica that had timed out alone was lost to the quorum."""
    tested = leading()
    tested.hear(view_change(2, 3))
    tested.wait(HOLD_MS - 1)
    assert tested.replica.state.view == 1
    assert tested.replica.views.next_deadline_ms() == tested.now_ms + 1
    effects = tested.wait(1)
    assert [m.view for m in said(effects, ViewChange)] == [2]
    assert of(effects, Entered)[0].cause == "fetched back"
    assert sent(effects, ViewChange, 0) == [view_change(2, 3)], "all learn for whose sake"


def test_nobody_else_steps_down_for_it() -> None:
    backup = make_replica(2)
    backup.hear(new_view(1), anchor(1, 1), committed(1, anchor(1, 1)), view_change(2, 3))
    backup.wait(10 * HOLD_MS)
    assert backup.replica.state.view == 1


def test_nobody_is_fetched_who_is_gone_or_farther_away_or_lies() -> None:
    gone = leading()
    gone.hear(view_change(2, 3))
    gone.step(PeerSilent(ValidatorIndex(3)))
    gone.wait(10 * HOLD_MS)
    far = leading()
    far.hear(view_change(3, 3))
    far.wait(10 * HOLD_MS)
    liar = leading()
    liar.hear(view_change(2, 3), plain(3, 1), plain(3, 1, transactions=(b"x",)))
    liar.wait(10 * HOLD_MS)
    assert [t.replica.state.view for t in (gone, far, liar)] == [1, 1, 1]


def test_pauses_double_to_a_cap_for_one_who_is_always_ahead() -> None:
    """A liar that says a view-change in each view cannot move views faster than this."""
    tested = leading()
    waited = []
    for view in range(1, 33, 4):  # the views that it leads
        if view > 1:
            lead(tested, view)
        tested.hear(view_change(view + 1, 3))
        before_ms = tested.now_ms
        tested.now_ms = tested.replica.views.loners.deadline_ms()
        effects = tested.do(Tick())
        assert [e.cause for e in of(effects, Entered)] == ["fetched back"]
        waited.append(tested.now_ms - before_ms)
    assert waited == [HOLD_MS, *(PAUSE_MS << i for i in (0, 1, 2, 3, 4, 4, 4))]


def test_the_pause_holds_whichever_leader_stepped_down() -> None:
    """A backup that follows a leader counts whoever was ahead: leaders share the limit."""
    tested = make_replica(1)
    tested.hear(view_change(1, 3), signed(view_change(1, 0)))  # 0 led view 0
    assert tested.replica.views.loners.pauses.until_ms(ValidatorIndex(3)) == (
        tested.now_ms + PAUSE_MS
    )
