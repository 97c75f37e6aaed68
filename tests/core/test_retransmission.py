"""Status out, the difference back. DESIGN 2, Retransmission.

The replica is validator 1 of 4; 3 is the peer that lacks something.
"""

from dataclasses import replace

import pytest

from cretonode.core.effects import Accuse, Effect, Refuse, Send, Serve
from cretonode.core.events import PeerConnected
from cretonode.core.messages import Message, SlotStatus, Status
from cretonode.core.retransmission import (
    RESENT_BYTES_MAX,
    RESENT_MESSAGES_MAX,
    RESENT_VERTICES_MAX,
)
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, View
from cretonode.limits import AUTHOR_UNFINAL_MAX
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchor,
    anchors,
    batch_of,
    checkpoint,
    commit,
    committed,
    committee_of,
    make_replica,
    new_view,
    of,
    plain,
    pre_prepare,
    prepare,
    prepared,
    sent,
    signed,
    stable,
    view_change,
    words_of,
)

A = anchors(0, 40)
PEER = ValidatorIndex(3)
NOTHING = SlotStatus(accepted=False, prepares=0, commits=0)


def status_of(
    *,
    view: int = 0,
    has_base: bool = True,
    final: int = 0,
    low: int = 0,
    slots: tuple[SlotStatus, ...] = (),
    newest: tuple[int, ...] = (0, 0, 0, 0),
) -> Status:
    return Status(
        view=View(view),
        has_base=has_base,
        final=SequenceNumber(final),
        stable=SequenceNumber(low),
        slots=slots,
        newest=tuple(AuthorIndex(i) for i in newest),
    )


def answers(tested: Driven, status: Status) -> list[Message]:
    """Return what the peer gets for its status."""
    effects = tested.hear(status, sender=3)
    return [e.message for e in of(effects, Send) if not isinstance(e.message, Status)]


def served(effects: list[Effect]) -> list[Serve]:
    return of(effects, Serve)


def slot(accepted: bool, prepares: set[int], commits: set[int]) -> SlotStatus:
    return SlotStatus(
        accepted=accepted,
        prepares=sum(1 << a for a in prepares),
        commits=sum(1 << a for a in commits),
    )


def voting() -> Driven:
    """Return a replica that holds one slot: proposed, prepared by 1 and 2, committed by 1."""
    tested = make_replica()
    tested.hear_all(A[0], pre_prepare(0, A[0]), prepare(0, A[0], 2))
    return tested


# --- the own status


def test_a_status_says_what_is_here_and_what_lacks() -> None:
    tested = voting()
    tested.hear(plain(2, 7))
    tested.step(PeerConnected(PEER))
    (status,) = sent(tested.everything, Status, 3)[-1:]
    assert status == status_of(slots=(slot(True, {1, 2}, {1}),), newest=(1, 0, 7, 0))


def test_slots_count_from_the_final_sequence_and_gaps_are_empty() -> None:
    tested = make_replica()
    tested.finalize(0, A[0])
    tested.hear(prepare(0, A[3], 2))
    assert tested.replica.retransmission.status().slots == (
        NOTHING,
        NOTHING,
        slot(False, {2}, set()),
    )


def test_a_status_goes_out_on_connection() -> None:
    """DESIGN 2: on reconnect."""
    tested = make_replica()
    effects = tested.step(PeerConnected(PEER))
    assert [(e.peer, type(e.message)) for e in of(effects, Send)] == [(3, Status)]


def test_statuses_are_frequent_while_something_is_unfinished_and_slow_when_idle() -> None:
    tested = make_replica()
    tested.wait(TIMING.heartbeat_ms)
    assert tested.replica.retransmission.next_deadline_ms() - tested.now_ms == TIMING.heartbeat_ms
    tested.hear(plain(2, 1))
    assert not sent(tested.wait(TIMING.status_interval_ms - 1), Status)
    assert len(sent(tested.wait(1), Status)) == 3


def test_progress_puts_the_next_status_off() -> None:
    """Only what does not move needs help."""
    tested = make_replica()
    tested.hear(plain(2, 1))
    for message in A[:8]:
        tested.now_ms += TIMING.status_interval_ms - 10
        tested.finalize(0, message)
        if tested.now_ms < tested.replica.retransmission._sent_ms + TIMING.heartbeat_ms - 300:
            assert tested.replica.retransmission.next_deadline_ms() > tested.now_ms + 200


# --- answers


def test_who_has_everything_gets_nothing() -> None:
    everything = status_of(slots=(slot(True, {1, 2}, {1}),), newest=(1, 0, 0, 0))
    assert answers(voting(), everything) == []


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (slot(False, set(), {1}), [prepared(0, A[0]), prepare(0, A[0], 1)]),
        (slot(True, {2}, {1}), [prepared(0, A[0]), prepare(0, A[0], 1)]),
        (slot(True, {1}, {1}), [prepared(0, A[0])]),
        (slot(True, {2, 3}, {1}), [prepare(0, A[0], 1)]),
        (slot(False, {1, 2}, {1}), [pre_prepare(0, A[0])]),
        (slot(True, {1, 2}, set()), [commit(0, A[0], 1)]),
        (slot(True, {2}, {0, 2, 3}), [prepared(0, A[0]), prepare(0, A[0], 1), commit(0, A[0], 1)]),
    ],
    ids=[
        "nothing but a commit",
        "one prepare",
        "only this one's prepare",
        "all but this one's prepare",
        "all but the proposal",
        "all but this one's commit",
        "all commits but this one's",
    ],
)
def test_exactly_the_difference_is_sent(theirs: SlotStatus, expected: list[Message]) -> None:
    """DESIGN 2, Retransmission: send what the other lacks. Of single votes only the own ones:
    surplus signatures of others are never relayed."""
    assert answers(voting(), status_of(slots=(theirs,), newest=(1, 0, 0, 0))) == expected


def test_who_lacks_the_slot_altogether_gets_all_of_it() -> None:
    assert answers(voting(), status_of()) == [
        prepared(0, A[0]),
        prepare(0, A[0], 1),
        commit(0, A[0], 1),
    ]


def test_votes_of_another_view_are_not_sent() -> None:
    assert not [m for m in answers(voting(), status_of(view=1)) if not isinstance(m, Status)]


def test_who_is_behind_gets_the_newest_commit_certificate() -> None:
    """It finalizes all before it."""
    tested = make_replica()
    tested.finalize(0, *A[:3])
    assert answers(tested, status_of(final=1, newest=(3, 0, 0, 0))) == [committed(0, A[2])]
    assert answers(tested, status_of(final=3, newest=(3, 0, 0, 0))) == []


def test_who_waits_for_a_view_gets_its_new_view() -> None:
    """DESIGN 2, View change: new-views can be fetched."""
    tested = make_replica(2)
    opening = new_view(1)
    tested.hear(opening)
    assert answers(tested, status_of(view=0)) == [opening]
    assert answers(tested, status_of(view=1, has_base=False)) == [opening]
    assert answers(tested, status_of(view=1)) == []
    assert answers(tested, status_of(view=2, has_base=False)) == []


def test_who_waits_in_a_view_change_gets_the_own_view_change() -> None:
    tested = make_replica(2)
    tested.hear_all(view_change(1, 0), view_change(1, 3))
    assert answers(tested, status_of(view=0)) == [view_change(1, 2)]
    assert answers(tested, status_of(view=1, has_base=False)) == [view_change(1, 2)]


def test_who_lacks_a_stable_checkpoint_gets_votes_and_then_the_certificate() -> None:
    tested = make_replica()
    tested.finalize(0, *A[:4])
    digest = tested.replica.checkpoints.own[SequenceNumber(4)]
    status = status_of(final=4, newest=(4, 0, 0, 0))
    assert answers(tested, status) == [checkpoint(4, digest, 1)]
    tested.hear(stable(4, digest))
    assert answers(tested, status) == [stable(4, digest)]
    assert answers(tested, replace(status, stable=SequenceNumber(4))) == []
    behind = replace(status, final=SequenceNumber(3))
    assert answers(tested, behind) == [committed(0, A[3])], "it could not use it yet"


def test_own_vertices_the_peer_lacks_are_served_oldest_first_and_bounded() -> None:
    tested = make_replica()
    for number in range(AUTHOR_UNFINAL_MAX):
        tested.do(batch_of(b"%d" % number))
    own = sorted(tested.replica.state.graph.admitted.values(), key=lambda v: v.index)
    (serve,) = served(tested.hear(status_of(newest=(0, 2, 0, 0)), sender=3))
    assert serve == Serve(PEER, vertices=tuple(v.hash for v in own[2:])), "all at once"
    assert len(own) == AUTHOR_UNFINAL_MAX == RESENT_VERTICES_MAX
    assert not served(tested.hear(status_of(newest=(0, 64, 0, 0)), sender=3))


def test_vertices_are_not_sent_again_while_they_may_be_under_way() -> None:
    """Statuses come faster than a long answer gets there; large ones go a few at a time."""
    tested = make_replica()
    payload = RESENT_BYTES_MAX // 4
    for number in range(10):
        half = [
            b"%d" % number + bytes(payload // 2 - 16),
            b"%d!" % number + bytes(payload // 2 - 16),
        ]
        tested.do(batch_of(*half))
    parts = [served(tested.hear(status_of(), sender=3)) for _ in range(3)]
    assert [len(serve.vertices) for part in parts for serve in part] == [5, 5]
    tested.wait(2 * TIMING.status_interval_ms)
    assert served(tested.hear(status_of(), sender=3)) == parts[0], "it was lost"
    tested.step(PeerConnected(PEER))
    assert served(tested.hear(status_of(), sender=3)) == parts[0], "so it was with the connection"


def test_others_vertices_go_only_to_the_leader_and_only_when_they_wait_too_long() -> None:
    """DESIGN 2, What moves the view (a)."""
    tested = make_replica()
    tip = plain(2, 1)
    tested.hear(tip)
    assert not served(tested.hear(status_of(), sender=0))
    tested.wait(TIMING.finality_timeout_ms + 1)
    assert served(tested.hear(status_of(), sender=0)) == [
        Serve(ValidatorIndex(0), vertices=(tip.vertex.hash,))
    ]
    assert not served(tested.hear(status_of(), sender=3))
    assert not served(tested.hear(status_of(newest=(0, 0, 1, 0)), sender=0))


def test_an_answer_is_bounded() -> None:
    """SPEC C5."""
    tested = make_replica(committee=committee_of(4, window=40, dedup=40))
    tested.hear_all(*A)
    for message in A:
        tested.hear_all(pre_prepare(0, message), prepare(0, message, 2))
    assert len(answers(tested, status_of())) == RESENT_MESSAGES_MAX


def test_what_is_sent_again_is_no_violation() -> None:
    """DESIGN 2: re-sends and replayed early data are never violations."""
    tested = voting()
    again = [A[0], pre_prepare(0, A[0]), prepare(0, A[0], 2), prepared(0, A[0])]
    again += [signed(word) for word in words_of(tested.everything)]
    effects = tested.hear(*again)
    assert not of(effects, Refuse)
    assert not of(effects, Accuse)


def test_two_replicas_that_lost_every_message_settle_by_status_alone() -> None:
    """What the leader and a backup have between them, both have in the end."""
    one, two = make_replica(1), make_replica(2)
    one.hear_all(A[0], pre_prepare(0, A[0]))
    two.hear_all(A[0], pre_prepare(0, A[0]))
    for _ in range(4):
        for source, target in ((one, two), (two, one)):
            status = target.replica.retransmission.status()
            for effect in source.hear(status, sender=target.me):
                if isinstance(effect, Send) and effect.peer == target.me:
                    target.hear_all(effect.message, sender=source.me)
    assert one.replica.state.high == two.replica.state.high == prepared(0, A[0])
    assert anchor(0, 1, ROOT) == A[0]
