"""Amnesia: silence until others have told how far they are, and until that is left behind.

Source: docs/spec/durability.md, section 8.
"""

import itertools
from dataclasses import replace

import pytest

from cretonode.core.effects import Halt, Rejoined, Say, Send
from cretonode.core.events import PeerConnected, PeerSilent
from cretonode.core.messages import (
    Attestation,
    Commit,
    Message,
    PrepareCertificate,
    Rejoin,
    Suspect,
    VertexMessage,
    ViewChange,
)
from cretonode.core.records import (
    Accepted,
    AmnesiaBegun,
    AmnesiaEnded,
    OwnVertex,
    Promises,
    fold,
)
from cretonode.core.state import Restored, Timing
from cretonode.identifiers import AuthorIndex, ValidatorIndex, View
from cretonode.limits import (
    ATTESTED_MAX,
    AUTHOR_UNFINAL_MAX,
    INDEX_AHEAD_MAX,
    REJOIN_REPEAT_MS,
    RUN_AHEAD_VIEWS,
    STEP_DOWN_MS,
    STEP_DOWN_MS_MAX,
)
from tests.core.replicas import (
    ROOT,
    Driven,
    anchor,
    anchors,
    batch_of,
    committed,
    make_replica,
    new_view,
    of,
    persisted,
    plain,
    pre_prepare,
    prepare,
    prepared,
    said,
    sent,
    signed,
    stable,
    words_of,
)

NONCE = bytes([7]) * 32
OTHER = bytes([8]) * 32
PATIENT = Timing(view_change_timeout_ms=10**9)  # nobody leaves for another reason


def amnesiac(me: int = 1) -> Driven:
    """Return validator 1 of 4, which knows that it does not know what it said."""
    tested = make_replica(
        me, restored=Restored(promises=fold([AmnesiaBegun(NONCE)]), final=ROOT), start=False
    )
    tested.disk.journal.append(AmnesiaBegun(NONCE))
    tested.start()
    return tested


def attests(author: int, view: int, index: int = 0, nonce: bytes = NONCE) -> Attestation:
    return signed(
        Attestation(
            about=ValidatorIndex(1),
            nonce=nonce,
            view=View(view),
            index=AuthorIndex(index),
            author=ValidatorIndex(author),
        )
    )


def asks(author: int, until: int, nonce: bytes = NONCE) -> Rejoin:
    return signed(Rejoin(nonce=nonce, until=View(until), author=ValidatorIndex(author)))


def attested(view: int = 2) -> Driven:
    """Return an amnesiac to whom all others have said that they are in `view`."""
    tested = amnesiac()
    tested.hear(*(attests(author, view, 5) for author in (0, 2, 3)))
    return tested


def above(view: int) -> list[Message]:
    """Return what shows that a view works: its opening, its first anchor and a certificate."""
    first = anchor(view % 4, 1)
    others = [0, 2, 3]
    return [new_view(view, authors=others), first, prepared(view, first, others)]


def test_an_amnesiac_says_nothing_but_that_it_asks() -> None:
    tested = amnesiac()
    first = anchor(0, 1)
    tested.hear(first, pre_prepare(0, first), prepare(0, first, 2), prepare(0, first, 3))
    tested.step(PeerSilent(ValidatorIndex(0)))
    for _ in range(30):
        tested.wait(1_000)
    assert {type(word) for word in words_of(tested.everything)} == {Rejoin}
    assert not persisted(tested.everything, Accepted)
    assert not tested.replica.wants_batch()


def test_an_amnesiac_follows_the_chain() -> None:
    """SPEC C9: it executes what becomes final."""
    tested = amnesiac()
    tested.finalize(0, anchor(0, 1))
    assert tested.replica.state.final == 1


def test_the_request_is_repeated_with_longer_pauses_and_soon_when_somebody_connects() -> None:
    tested = amnesiac()
    asked = []
    for _ in range(100):
        asked += [tested.now_ms] * len(said(tested.wait(200), Rejoin))
    pauses = [b - a for a, b in itertools.pairwise(asked)]
    assert pauses[0] < pauses[1] < pauses[2], pauses
    effects = tested.step(PeerConnected(ValidatorIndex(2)))
    assert said([*effects, *tested.wait(REJOIN_REPEAT_MS)], Rejoin)


def test_all_three_others_of_four_must_attest() -> None:
    """n - q + f + 1 = 3."""
    tested = amnesiac()
    tested.hear(attests(0, 2), attests(2, 2))
    tested.hear_all(*above(9))
    assert tested.replica.state.amnesiac
    assert tested.replica.amnesia.lacking() == [3]
    tested.hear_all(attests(3, 2))
    assert not tested.replica.state.amnesiac


def test_answers_to_an_earlier_loss_or_to_somebody_else_do_not_count() -> None:
    tested = amnesiac()
    tested.hear(attests(0, 2), attests(2, 2), attests(3, 2, nonce=OTHER))
    tested.hear(replace(attests(3, 2), about=ValidatorIndex(2)))
    assert tested.replica.amnesia.lacking() == [3]


def test_the_first_word_of_each_counts() -> None:
    tested = amnesiac()
    tested.hear(attests(0, 9), attests(0, 1), attests(0, 1), attests(2, 1))
    assert tested.replica.amnesia.floor() is None
    tested.hear(attests(3, 1))
    assert tested.replica.amnesia.floor() == 9 + RUN_AHEAD_VIEWS


@pytest.mark.parametrize("view", [2, 2 + RUN_AHEAD_VIEWS])
def test_a_certificate_that_is_not_above_the_margin_brings_nobody_back(view: int) -> None:
    """Rejoin.tla, run fault_rejoin_margin."""
    tested = attested(2)
    tested.hear_all(*above(view))
    assert tested.replica.state.amnesiac


def test_the_way_back() -> None:
    """It votes in the view of the certificate, and journals the end of its amnesia first."""
    tested = attested(2)
    view = 2 + RUN_AHEAD_VIEWS + 1
    effects = tested.hear_all(*above(view))
    assert Rejoined(View(view)) in effects
    assert [word.view for word in said(effects, Commit)] == [view]
    folded = fold(tested.disk.journal)
    assert folded.amnesia is None
    assert folded.high is not None
    assert folded.high.view == view


def test_a_certificate_with_an_own_vote_is_not_made_without_it() -> None:
    tested = attested(2)
    first = anchor(0, 1)
    tested.hear_all(first, prepared(8, first, (0, 1, 2)))
    assert tested.replica.state.amnesiac


def test_a_certificate_alone_is_enough() -> None:
    """Idle networks make none anew: attesters send theirs with the answer."""
    tested = attested(2)
    tested.hear_all(prepared(8, anchor(0, 1), (0, 2, 3)))
    assert not tested.replica.state.amnesiac


def test_the_next_own_index_is_above_all_that_anybody_may_have_seen() -> None:
    tested = attested(2)
    tested.hear_all(*above(8))
    tested.do(batch_of(b"a"))
    (made,) = persisted(tested.everything, OwnVertex)
    assert made.index == 5 + AUTHOR_UNFINAL_MAX + 1


def test_a_liar_cannot_use_up_the_indexes() -> None:
    tested = amnesiac()
    tested.hear(attests(0, 2, 5), attests(2, 2, 9), attests(3, 2, ATTESTED_MAX))
    tested.hear_all(*above(8))
    assert fold(tested.disk.journal).own_index == 9 + INDEX_AHEAD_MAX + AUTHOR_UNFINAL_MAX


def test_a_number_that_leaves_no_room_above_it_is_no_attestation() -> None:
    tested = amnesiac()
    tested.hear(attests(0, ATTESTED_MAX + 1), attests(2, 1, ATTESTED_MAX + 1), attests(3, 1))
    assert tested.replica.amnesia.lacking() == [0, 2]


def test_a_restart_in_the_middle_is_amnesia_again() -> None:
    tested = attested(2).restart()
    assert tested.replica.state.amnesiac
    assert len(tested.replica.amnesia.lacking()) == 3
    (asked,) = said(tested.at_start, Rejoin)
    assert asked.nonce == NONCE


def test_a_restart_after_the_way_back_resumes() -> None:
    tested = attested(2)
    tested.hear_all(*above(8))
    again = tested.restart()
    assert not again.replica.state.amnesiac
    assert again.replica.state.view == 8
    assert said(again.at_start, Commit)
    again.do(batch_of(b"a"))
    (made,) = persisted(again.everything, OwnVertex)
    assert made.index == 5 + AUTHOR_UNFINAL_MAX + 1


def test_every_journal_on_the_way_folds_to_itself() -> None:
    """Rotation copies the live values and nothing else."""
    tested = attested(2)
    tested.hear_all(*above(8))
    for length in range(len(tested.disk.journal) + 1):
        promises = fold(tested.disk.journal[:length])
        assert fold(promises.records()) == promises
    assert fold([AmnesiaBegun(NONCE), AmnesiaEnded(AuthorIndex(9))]).records() == [
        AmnesiaEnded(AuthorIndex(9))
    ]
    assert Promises().records() == []


# --- the others


def test_an_attestation_says_how_far_both_are_and_goes_to_the_asker_alone() -> None:
    tested = make_replica(2)
    tested.hear_all(plain(1, 12, ROOT))
    effects = tested.hear(asks(1, 0))
    (say,) = [e for e in effects if isinstance(e, Say)]
    assert say.to == 1
    assert say.statement == Attestation(
        about=ValidatorIndex(1),
        nonce=NONCE,
        view=View(0),
        index=AuthorIndex(12),
        author=ValidatorIndex(2),
    )


def test_the_same_request_gets_the_same_answer_and_the_certificate_with_it() -> None:
    tested = make_replica(2)
    tested.hear_all(asks(1, 0))
    first = anchor(0, 1)
    tested.hear_all(first, pre_prepare(0, first), prepare(0, first, 3))
    tested.hear_all(new_view(5))
    tested.now_ms += 1_000
    effects = tested.hear(asks(1, 0))
    assert [answer.view for answer in sent(effects, Attestation, 1)] == [0]
    assert len(sent(effects, PrepareCertificate, 1)) == 1
    assert not said(effects, Attestation)


def test_requests_are_answered_so_often_and_no_oftener() -> None:
    """A signature and a certificate each: a flood must not buy them."""
    tested = make_replica(2)
    effects = [e for i in range(100) for e in tested.hear_all(asks(1, 0, bytes([i]) * 32))]
    assert len(said(effects, Attestation)) == 1


def test_an_amnesiac_attests_nothing() -> None:
    tested = amnesiac()
    assert not words_of(tested.hear(asks(2, 0)))


def test_a_leader_leaves_once_for_who_needs_a_later_view_and_says_for_whom() -> None:
    tested = make_replica(0)
    effects = tested.hear_all(asks(1, 3))
    assert [word.view for word in said(effects, ViewChange)] == [1]
    assert {e.peer for e in effects if isinstance(e, Send) and isinstance(e.message, Rejoin)} == {
        2,
        3,
    }


def test_a_leader_of_a_view_that_is_late_enough_stays() -> None:
    tested = make_replica(0)
    assert not said(tested.hear_all(asks(1, 0)), ViewChange)


def step_downs(tested: Driven, seconds: int) -> list[int]:
    """Let validator 1 ask without end, in every view that 0 leads; return when 0 stepped down."""
    began_ms, found, view = tested.now_ms, [], 0
    while tested.now_ms < began_ms + seconds * 1_000:
        tested.now_ms += 100
        if said(tested.hear_all(asks(1, 2**40)), ViewChange):
            found.append(tested.now_ms - began_ms)
            view += 4
            tested.hear_all(new_view(view))
    return found


def test_a_liar_that_asks_without_end_moves_views_ever_more_seldom() -> None:
    found = step_downs(make_replica(0, timing=PATIENT), 100)
    pauses = [b - a for a, b in itertools.pairwise(found)]
    assert pauses[0] >= STEP_DOWN_MS
    assert all(b >= 2 * a - 200 for a, b in itertools.pairwise(pauses)), pauses
    assert len(found) <= 8


def test_who_was_long_content_is_served_at_once_again() -> None:
    tested = make_replica(0, timing=PATIENT)
    step_downs(tested, 20)
    tested.now_ms += 2 * STEP_DOWN_MS_MAX
    assert step_downs(tested, 1) == [100]


def test_the_pace_counts_what_other_leaders_did() -> None:
    """The leader of view 0 relays the request for which it leaves; the next one heard it."""
    tested = make_replica(1)
    tested.hear_all(asks(3, 9), sender=0)
    tested.hear_all(new_view(1, authors=(0, 1, 2)))
    assert tested.replica.state.leads
    assert not said(tested.hear_all(asks(3, 9)), ViewChange)
    tested.now_ms += STEP_DOWN_MS
    assert said(tested.hear_all(asks(3, 9)), ViewChange)


def test_a_relayed_request_counts_for_nothing_unless_the_leader_relays_it() -> None:
    tested = make_replica(1)
    tested.hear_all(asks(3, 9), sender=2)
    tested.hear_all(new_view(1, authors=(0, 1, 2)))
    assert said(tested.hear_all(asks(3, 9)), ViewChange)


def test_a_leader_that_is_amnesiac_is_left_at_once() -> None:
    tested = make_replica(2)
    effects = tested.hear_all(asks(0, 0))
    assert [word.view for word in said(effects, ViewChange)] == [1]
    assert not said(effects, Suspect)


def test_a_vote_shows_that_the_amnesia_is_over() -> None:
    tested = make_replica(2)
    tested.hear_all(asks(1, 0))
    first = anchor(0, 1)
    tested.hear_all(first, pre_prepare(0, first), prepare(0, first, 1))
    assert not tested.replica.state.is_amnesiac(ValidatorIndex(1))
    tested.finalize(0, first)
    tested.hear_all(committed(0, first))
    assert tested.replica.state.view == 0


# --- old copies


def test_an_own_vertex_that_the_journal_does_not_know_stops_the_replica() -> None:
    """Journal and database put back together: nothing on the own disk tells."""
    tested = make_replica(1)
    (halt,) = of(tested.hear(plain(1, 3, ROOT), sender=0), Halt)
    assert "the journal is an old copy" in halt.cause


def test_own_words_that_the_journal_knows_are_welcome_from_anybody() -> None:
    tested = make_replica(1)
    tested.do(batch_of(b"a"))
    (own,) = said(tested.everything, VertexMessage)
    assert not of(tested.hear_all(signed(own), sender=2), Halt)


def test_an_amnesiac_does_not_wonder_at_what_it_said() -> None:
    tested = amnesiac()
    assert not of(tested.hear(plain(1, 3, ROOT), sender=0), Halt)


def test_the_window_opens_at_the_stable_checkpoint_of_the_database() -> None:
    """The journal that named it is lost, and what was executed before is not stated again."""
    before = make_replica(1)
    for message in anchors(0, 18):
        before.hear_all(message)
        before.hear_all(committed(0, message))
        sequence = message.vertex.sequence
        if sequence % 4 == 0:
            before.hear_all(stable(sequence, before.replica.checkpoints.own[sequence]))
    before.disk.sync()
    kept = replace(before.disk.restore(), promises=fold([AmnesiaBegun(NONCE)]))
    state = make_replica(1, restored=kept, start=False).replica.state
    assert (state.final, state.low) == (18, 16)
