"""Making vertices: plain ones for clients, anchors as leader. Validator 0 leads view 0 of 4."""

from collections import Counter
from dataclasses import replace

import pytest

from cretonode.core.effects import Effect, Entered, Finalize, Say
from cretonode.core.messages import Prepare, PrePrepare, VertexMessage
from cretonode.core.records import Accepted, OwnVertex
from cretonode.core.state import NEVER_MS, Restored
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, View
from cretonode.limits import (
    AUTHOR_UNFINAL_MAX,
    HISTORY_TRANSACTIONS_MAX,
    PAYLOAD_TRANSACTIONS_MAX,
)
from tests.core.replicas import (
    ROOT,
    START_MS,
    TIMING,
    Driven,
    alone,
    anchor,
    anchors,
    batch_of,
    commit,
    committed,
    committee_of,
    make_replica,
    named,
    new_view,
    of,
    persisted,
    place_of_record,
    plain,
    pre_prepare,
    prepare,
    prepared,
    said,
    view_change,
    words_of,
)


def made(effects: list[Effect]) -> list[Vertex]:
    return [message.vertex for message in said(effects, VertexMessage)]


def confirmed(tested: Driven, effects: list[Effect]) -> list[Effect]:
    """Let validators 1 and 3 vote for all that a leader proposed."""
    found: list[Effect] = []
    for proposal in said(effects, PrePrepare):
        top = tested.replica.state.graph.admitted[proposal.anchor]
        votes = [prepare(proposal.view, top, a) for a in (1, 3)]
        commits = [commit(proposal.view, top, a) for a in (1, 3)]
        found += tested.hear_all(*votes, *commits)
    return found


# --- plain vertices


def test_a_backup_puts_a_batch_into_a_plain_vertex_at_once() -> None:
    """DESIGN 2, Who makes vertices."""
    tested = make_replica(2)
    effects = tested.step(batch_of(b"a", b"b"))
    (vertex,) = made(effects)
    assert (vertex.author, vertex.index, vertex.sequence) == (2, 1, 0)
    assert (vertex.parents, vertex.transaction_count) == ((ROOT.hash,), 2)
    assert persisted(effects, OwnVertex) == [OwnVertex(vertex.index, vertex.hash)]
    assert isinstance(effects[place_of_record(effects, OwnVertex) + 1], Say)


def test_a_plain_vertex_names_its_authors_previous_one_and_the_newest_final_anchor() -> None:
    """DESIGN 2, Vertex."""
    tested = make_replica(2)
    (first,) = made(tested.do(batch_of(b"a")))
    (second,) = made(tested.do(batch_of(b"b")))
    assert second.parents == (first.hash, ROOT.hash)
    top = anchor(0, 1, ROOT, second)
    tested.finalize(0, top)
    (third,) = made(tested.do(batch_of(b"c")))
    assert third.parents == (second.hash, named(top))
    assert (third.index, third.height) == (3, top.vertex.height + 1)


def test_the_next_vertex_waits_until_the_last_one_is_durable_and_signed() -> None:
    """Otherwise a crash could leave a gap in the chain of own vertices."""
    tested = make_replica(2)
    effects = tested.step(batch_of(b"a"))
    assert not tested.replica.wants_batch()
    tested.come_back(effects)
    assert tested.replica.wants_batch()


def test_an_author_stops_at_so_many_vertices_that_are_not_final() -> None:
    """DESIGN 2, Bounds: AUTHOR_UNFINAL_MAX."""
    tested = make_replica(2)
    count = 0
    while tested.replica.wants_batch():
        tested.do(batch_of(b"%d" % count))
        count += 1
    assert count == AUTHOR_UNFINAL_MAX
    newest = max(tested.replica.state.graph.admitted.values(), key=lambda v: v.index)
    tested.finalize(0, anchor(0, 1, ROOT, newest))
    assert tested.replica.wants_batch()


def test_indexes_never_repeat() -> None:
    """DESIGN 2, Vertex: strictly increasing."""
    tested = alone()
    for number in range(20):
        tested.now_ms += 1_000
        tested.do(batch_of(b"%d" % number))
    indexes = [v.index for v in made(tested.everything)]
    assert indexes == sorted(set(indexes))


# --- anchors


def test_the_leader_puts_its_own_batch_into_its_anchor() -> None:
    """A slot costs one vertex per author."""
    tested = make_replica(0)
    effects = tested.step(batch_of(b"a"))
    (vertex,) = made(effects)
    (proposal,) = said(effects, PrePrepare)
    assert (vertex.sequence, vertex.parents, vertex.transaction_count) == (1, (ROOT.hash,), 1)
    assert (proposal.view, proposal.sequence, proposal.anchor) == (0, 1, vertex.hash)
    assert persisted(effects, Accepted) == [Accepted(View(0), SequenceNumber(1), vertex.hash)]
    assert place_of_record(effects, Accepted) < effects.index(of(effects, Say)[0])


def test_an_anchor_names_the_previous_one_first_and_then_one_tip_per_author() -> None:
    """DESIGN 2, Vertex."""
    tested = make_replica(0)
    p1, p2, q1 = plain(2, 1), plain(2, 2, plain(2, 1), ROOT), plain(1, 1)
    (first,) = made(tested.do(batch_of(b"a")))
    tested.hear(p1, p2, q1)
    tested.now_ms += TIMING.slot_interval_ms
    (second,) = made(tested.do(batch_of(b"b")))
    assert second.parents == (first.hash, named(q1), named(p2))
    assert second.height == 1 + max(p2.vertex.height, first.height)


def test_others_vertices_make_the_leader_propose() -> None:
    (vertex,) = made(make_replica(0).hear(plain(2, 1)))
    assert vertex.parents == (ROOT.hash, named(plain(2, 1)))


def test_with_nothing_to_order_nothing_is_proposed() -> None:
    tested = make_replica(0)
    for _ in range(20):
        assert not said(tested.wait(1_000), PrePrepare)


def test_proposals_in_flight_keep_a_distance_and_idle_ones_do_not_wait() -> None:
    """DESIGN 4: a slot per 60 ms under load, immediate when idle."""
    tested = make_replica(0)
    tested.do(batch_of(b"a"))
    assert not said(tested.do(batch_of(b"b")), PrePrepare)
    assert tested.replica.proposer.next_deadline_ms() == START_MS + TIMING.slot_interval_ms
    assert not said(tested.wait(TIMING.slot_interval_ms - 1), PrePrepare)
    assert said(tested.wait(1), PrePrepare)


LONG = committee_of(window=128, interval=64, dedup=128)


def ordered(tested: Driven, transaction: bytes, took_ms: int) -> None:
    """Let the leader propose a transaction at once, and make it final `took_ms` later."""
    effects = tested.do(batch_of(transaction))
    (vertex,) = made(effects)
    tested.now_ms += took_ms
    tested.hear_all(committed(0, vertex))


def test_a_leader_that_was_long_idle_proposes_at_once() -> None:
    tested = make_replica(0, committee=LONG)
    for number in range(20):
        ordered(tested, b"%d" % number, took_ms=20)
        tested.now_ms += 1_000


def test_light_slots_leave_a_third_of_the_time_free() -> None:
    """Back to back they would stand in each other's way (decision 7)."""
    tested = make_replica(0, committee=LONG)
    for number in range(50):
        ordered(tested, b"%d" % number, took_ms=20)
        tested.now_ms += 1_000
    ordered(tested, b"first", took_ms=20)
    assert not said(tested.do(batch_of(b"second")), PrePrepare)
    assert not said(tested.wait(9), PrePrepare)
    assert said(tested.wait(1), PrePrepare)


def test_slots_that_take_long_do_not_hold_the_next_one_beyond_the_interval() -> None:
    """A slow path is no reason to be idle: slots overlap there."""
    tested = make_replica(0, committee=LONG)
    for number in range(50):
        ordered(tested, b"%d" % number, took_ms=2_000)
    tested.do(batch_of(b"first"))
    assert not said(tested.do(batch_of(b"second")), PrePrepare)
    assert said(tested.wait(TIMING.slot_interval_ms), PrePrepare)


def test_a_leader_proposes_nothing_on_another_branch_than_its_base() -> None:
    """docs/spec/models.md, 5: it had accepted another anchor at the sequence of the base. Others
    would refuse what it builds on that, and the view would pass by timeout."""
    tested = make_replica(1)
    mine, other = anchor(0, 1), anchor(3, 1)
    tested.hear(mine, pre_prepare(0, mine))
    tested.hear(new_view(1, prepared(0, other)))
    assert tested.replica.state.leads
    assert not said(tested.everything, PrePrepare)
    assert tested.replica.proposer.next_deadline_ms() == NEVER_MS
    (anchor_made,) = made(tested.hear(other))
    assert anchor_made.parents[0] == named(other)


def test_the_leader_stops_at_the_end_of_the_window() -> None:
    """SPEC C5."""
    tested = make_replica(0)
    for number in range(20):
        tested.now_ms += TIMING.slot_interval_ms
        if tested.replica.wants_batch():
            tested.do(batch_of(b"%d" % number))
    assert [p.sequence for p in said(tested.everything, PrePrepare)] == list(range(1, 9))


def test_a_leader_that_may_not_propose_does_not_sit_on_a_batch() -> None:
    """The others hear of it, and leave a leader under whom it becomes final too late."""
    tested = make_replica(0)
    tested.finalize(0, *anchors(0, 8))  # the whole window, and no checkpoint stable
    effects = tested.do(batch_of(b"late"))
    assert not said(effects, PrePrepare), "the window is shut"
    (vertex,) = made(effects)
    assert (vertex.sequence, vertex.transaction_count) == (0, 1)


def test_an_anchors_time_never_goes_back() -> None:
    """DESIGN 2, Vertex: an anchor's time is at or after the previous anchor's."""
    tested = make_replica(1)
    late = anchor(0, 1, timestamp_ms=START_MS + 30_000)
    tested.finalize(0, late)
    effects = tested.hear_all(view_change(1, 2, prepared(0, late)), view_change(1, 3))
    (vertex,) = made(effects)
    assert vertex.timestamp_ms == START_MS + 30_000


def test_what_the_leader_makes_is_valid_to_others() -> None:
    leader, backup = make_replica(0), make_replica(1)
    for number in range(5):
        leader.now_ms += TIMING.slot_interval_ms
        tip = plain(2, number + 1)
        for message in words_of(leader.hear_all(tip) + leader.do(batch_of(b"%d" % number))):
            backup.now_ms = leader.now_ms
            backup.hear(tip, message)
    assert [v.sequence for v in said(backup.everything, Prepare)] == [1, 2, 3, 4, 5]


def test_a_long_backlog_is_ordered_oldest_first_and_within_the_bound() -> None:
    """DESIGN 2, Bounds: oldest first; every author's unfinal ones fit."""
    tested = make_replica(0)
    for author in (1, 2, 3):
        end = plain(author, 1)
        tested.replica.state.graph.add(end.vertex, wanted=True)
        for index in range(2, 200):
            end = plain(author, index, end, ROOT)
            tested.replica.state.graph.add(end.vertex, wanted=True)
    link = tested.replica.state.chain.link(tested.replica.proposer._anchor(SequenceNumber(1)))
    counts = Counter(v.author for v in link.history)
    assert counts == {0: 1, 1: 64, 2: 64, 3: 64}
    assert max(v.index for v in link.history) == 64


@pytest.mark.parametrize("count", [250])
def test_an_author_that_branches_does_not_have_an_honest_leader_voted_out(count: int) -> None:
    """SPEC C10. Author 2 sends 250 vertices that all name genesis alone: allowed, no equivocation.
    An anchor names one vertex per author, so each waits for up to 250 slots, longer than the
    view-change timeout, although the leader finalizes one slot after the other."""
    tested = make_replica(0, committee=committee_of(4, window=256, interval=128, dedup=256))
    effects: list[Effect] = []
    for index in range(1, count + 1):
        effects += tested.hear_all(plain(2, index))
    for _ in range(100):
        tested.now_ms += TIMING.slot_interval_ms
        effects = confirmed(tested, effects)
        effects += tested.step_tick()
        effects += tested.come_back(effects)
    assert len(of(tested.everything, Finalize)) > 50, "the leader does its work"
    assert [e.cause for e in of(tested.everything, Entered)] == []


def test_a_history_that_does_not_fit_keeps_nobody_else_out() -> None:
    """SPEC C6: never silent loss. Two liars (0 and 3 of 7) made 3's one vertex stand on a history
    longer than an anchor may order. It must be left out, and 4, 5 and 6 must still be ordered."""
    tested = make_replica(1, committee=committee_of(7), start=False)
    graph = tested.replica.state.graph
    end = plain(6, 1)
    graph.add(end.vertex, wanted=True)
    for index in range(2, tested.committee.history_vertices_max + 2):
        end = plain(6, index, end, ROOT)
        graph.add(end.vertex, wanted=True)
    heavy = plain(0, 1, ROOT, end, sequence=1)
    light = [plain(author, 1) for author in (4, 5)]
    for message in (heavy, *light):
        graph.add(message.vertex, wanted=True)
    vertex = tested.replica.proposer._anchor(SequenceNumber(1))
    assert {named(message) for message in light} <= set(vertex.parents)


def test_a_certificate_for_the_own_proposal_finalizes_it() -> None:
    tested = make_replica(0)
    effects = confirmed(tested, tested.do(batch_of(b"a")))
    (final,) = of(effects, Finalize)
    assert (final.sequence, final.certificate) == (1, committed(0, final.anchor, (0, 1, 3)))


# --- what vertices say of when their transactions were taken


def test_a_plain_vertex_names_the_anchor_that_was_final_when_its_batch_was_taken() -> None:
    """SPEC C7: executed after that means executed since. A leader's batch waits for its turn; then
    the view changes, and meanwhile more became final."""
    tested = make_replica(0)
    tested.do(batch_of(b"a"))
    assert not made(tested.do(batch_of(b"waits"))), "the interval has not passed"
    own = [v for v in made(tested.everything) if v.is_anchor]
    effects = tested.hear_all(committed(1, own[0]))
    assert len(of(effects, Finalize)) == 1
    (vertex,) = [v for v in made(effects) if not v.is_anchor]
    assert vertex.parents == (own[0].hash, ROOT.hash)


def test_a_batch_taken_long_ago_goes_into_a_plain_vertex() -> None:
    """An anchor is judged by its own sequence: `batch_age_max` sequences before, nothing older."""
    tested = make_replica(0)
    tested.replica.proposer.on_batch(batch_of(b"old"))
    chain = tested.replica.state.chain
    for message in anchors(0, 8, index=50):
        tested.replica.state.graph.add(message.vertex, wanted=True)
        chain.extend(chain.link(message.vertex))
    tested.replica.proposer.advance()
    (vertex,) = made(tested.replica.state.effects)
    assert not vertex.is_anchor
    assert vertex.transaction_count == 1


def test_a_node_a_dedup_window_behind_takes_no_batch() -> None:
    """What it made would come too late."""
    tested = make_replica(1, committee=committee_of(window=4, interval=2, dedup=4))
    assert tested.replica.wants_batch()
    far = anchors(0, 4)
    tested.hear(committed(0, far[2]))
    assert tested.replica.wants_batch()
    tested.hear(committed(0, far[3]))
    assert not tested.replica.wants_batch()


def test_no_batch_is_taken_while_the_newest_own_vertex_is_looked_up() -> None:
    """The next vertex could not name it, and nobody who lacks it would ever ask for it."""
    unknown = plain(2, 1)
    own = plain(3, 5, anchor(0, 1, ROOT, unknown))
    tested = make_replica(3, restored=Restored(final=ROOT, pending=(own,)))
    assert not tested.replica.wants_batch()
    tested.hear(unknown, anchor(0, 1, ROOT, unknown))
    assert tested.replica.wants_batch()
    (vertex,) = made(tested.do(batch_of(b"a")))
    assert named(own) in vertex.parents


# --- how much an anchor orders


def loaded(author: int, count: int, transactions: int = PAYLOAD_TRANSACTIONS_MAX) -> list[Vertex]:
    """Return a chain of plain vertices whose headers say that they are full."""
    found: list[Vertex] = []
    for index in range(1, count + 1):
        message = plain(author, index, *([found[-1], ROOT] if found else [ROOT]))
        found.append(replace(message.vertex, transaction_count=transactions))
    return found


def test_an_anchor_orders_no_more_transactions_than_its_bound_and_everybody_gets_a_share() -> None:
    """SPEC C5: what dedup must remember of one sequence is bounded."""
    tested = make_replica(0)
    graph = tested.replica.state.graph
    for vertex in (*loaded(1, 60), *loaded(2, 60), *loaded(3, 2)):
        graph.add(vertex, wanted=True)
    history = tested.replica.state.chain.link(
        tested.replica.proposer._anchor(SequenceNumber(1))
    ).history
    assert Counter(v.author for v in history) == {0: 1, 1: 4, 2: 4, 3: 2}
    assert max(v.index for v in history if v.author == 1) == 4, "oldest first"
    assert tested.committee.may_order(history)


def test_with_many_authors_everybody_comes_first_in_turn() -> None:
    """More full vertices than one anchor may order: nobody is left out for ever."""
    tested = make_replica(0, committee=committee_of(31))
    state = tested.replica.state
    for author in range(1, 31):
        state.graph.add(loaded(author, 1)[0], wanted=True)
    ordered: set[int] = set()
    for sequence in range(1, 31):
        history = state.chain.link(
            tested.replica.proposer._anchor(SequenceNumber(sequence))
        ).history
        assert len(history) == 1 + HISTORY_TRANSACTIONS_MAX // PAYLOAD_TRANSACTIONS_MAX
        ordered |= {v.author for v in history}
    assert ordered == set(range(31))
