"""Vertices on their way in: checked, held, asked for, and bounded.

The replica is validator 1 of 4, a backup of leader 0 in view 0.
"""

import pytest

from cretonode.core.effects import Accuse, Effect, Lookup, Reason, Refuse, Serve, Store
from cretonode.core.events import LookedUp, PeerConnected, PeerSilent
from cretonode.core.messages import UNSIGNED, FetchVertices, Prepare, VertexMessage
from cretonode.dag import graph as graph_module
from cretonode.dag.graph import FinalVertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import (
    AUTHOR_HELD_MAX,
    AUTHOR_ORPHANS_MAX,
    FETCH_HASHES_MAX,
    LOOKUP_HASHES_MAX,
)
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchor,
    anchors,
    committed,
    make_replica,
    named,
    new_view,
    of,
    plain,
    pre_prepare,
    prepared,
    said,
    sent,
    view_change,
)

A = anchors(0, 4)
P1 = plain(2, 1)
P2 = plain(2, 2, P1, ROOT)


def connected(me: int = 1) -> Driven:
    tested = make_replica(me)
    for peer in range(4):
        if peer != me:
            tested.step(PeerConnected(ValidatorIndex(peer)))
    return tested


def final_of(message: VertexMessage) -> FinalVertex:
    """Return what storage says of a vertex that was finalized long ago."""
    v = message.vertex
    return FinalVertex(
        hash=v.hash,
        author=v.author,
        index=v.index,
        height=v.height,
        sequence=v.sequence,
        timestamp_ms=v.timestamp_ms,
        finalized_by=SequenceNumber(1),
    )


def asked(effects: list[Effect]) -> dict[int, set[VertexHash]]:
    """Return who was asked for what."""
    return {
        peer: {h for message in sent(effects, FetchVertices, peer) for h in message.hashes}
        for peer in range(4)
        if sent(effects, FetchVertices, peer)
    }


def stored(effects: list[Effect]) -> list[VertexHash]:
    return [named(store.message) for store in of(effects, Store)]


def test_parents_are_stored_before_their_children() -> None:
    """effects.Store: what storage relies on after a cut."""
    tested = make_replica()
    top = anchor(0, 1, ROOT, P2)
    assert stored(tested.hear(top, P2)) == []
    assert stored(tested.hear(P1)) == [named(P1), named(P2), named(top)]


def test_a_vertex_is_stored_once() -> None:
    tested = make_replica()
    assert len(of(tested.hear(P1, P1, P2, P1), Store)) == 2


def test_the_own_vertex_was_stored_when_it_was_said() -> None:
    """effects.Say."""
    assert stored(make_replica(2).hear(P1)) == []


@pytest.mark.parametrize("late", [False, True], ids=["on arrival", "as a released orphan"])
def test_an_invalid_vertex_is_refused_and_not_stored(late: bool) -> None:
    bad = plain(2, 2, P1, ROOT, height=7)
    tested = make_replica()
    effects = tested.hear(*((bad, P1) if late else (P1, bad)))
    assert stored(effects) == [named(P1)]
    assert not tested.replica.intake._orphans
    if not late:
        assert of(effects, Refuse) == [Refuse(ValidatorIndex(2), Reason.INVALID_VERTEX)]


def test_a_second_vertex_for_one_index_is_evidence_without_payloads() -> None:
    """DESIGN 2, Vertex and Detector: both stay valid."""
    tested = make_replica()
    one, two = plain(2, 1, transactions=(b"a",)), plain(2, 1, transactions=(b"b",))
    effects = tested.hear(one, two, sender=3)
    (accusation,) = of(effects, Accuse)
    assert accusation.author == 2
    for statement, message in ((accusation.first, one), (accusation.second, two)):
        assert isinstance(statement, VertexMessage)
        assert (statement.vertex, statement.signature) == (message.vertex, message.signature)
        assert statement.payload == b""
        assert statement.signature != UNSIGNED
    assert stored(effects) == [named(one), named(two)]


def test_a_relay_is_not_accused_for_what_it_relays() -> None:
    tested = make_replica()
    effects = tested.hear(plain(2, 1), plain(2, 1, transactions=(b"x",)), sender=3)
    assert [accusation.author for accusation in of(effects, Accuse)] == [2]


# --- what lacks


def test_a_missing_parent_is_looked_up_and_then_asked_of_who_sent_the_child() -> None:
    """It may be final and forgotten here, or on its way, or lost."""
    tested = connected()
    effects = tested.hear(P2, sender=3)
    assert of(effects, Lookup) == [Lookup((named(P1),))]
    assert not asked(effects)
    assert tested.replica.intake.next_deadline_ms() == tested.now_ms + TIMING.fetch_delay_ms
    assert asked(tested.wait(TIMING.fetch_delay_ms)) == {3: {named(P1)}}


def test_one_silent_peer_costs_one_timeout() -> None:
    """DESIGN 2, Catch-up."""
    tested = connected()
    tested.hear(P2, sender=3)
    peers = [next(iter(asked(tested.wait(TIMING.fetch_delay_ms))))]
    peers += [next(iter(asked(tested.wait(TIMING.fetch_timeout_ms)))) for _ in range(4)]
    assert peers == [3, 0, 2, 3, 0], "everybody else in turn, never itself"


def test_only_connected_peers_are_asked() -> None:
    tested = make_replica()
    tested.step(PeerSilent(ValidatorIndex(0)))
    tested.step(PeerSilent(ValidatorIndex(3)))
    tested.hear(P2, sender=3)
    assert asked(tested.wait(TIMING.fetch_delay_ms)).keys() == {2}


def test_what_has_arrived_is_not_asked_for() -> None:
    tested = connected()
    tested.hear(P2, P1)
    assert not asked(tested.wait(10 * TIMING.fetch_timeout_ms))


@pytest.mark.parametrize(
    "message",
    [pre_prepare(0, A[0]), prepared(0, A[0]), committed(0, A[0])],
    ids=["proposed", "prepared", "committed"],
)
def test_an_anchor_that_votes_name_is_asked_of_the_leader(message: VertexMessage) -> None:
    tested = connected()
    tested.hear(message)
    assert asked(tested.wait(TIMING.fetch_delay_ms)) == {0: {named(A[0])}}


def test_what_an_equivocator_may_keep_back_is_asked_of_others_first() -> None:
    tested = connected()
    tested.hear(plain(2, 1), plain(2, 1, transactions=(b"another",)))
    tested.hear(A[1], sender=2)
    assert asked(tested.wait(TIMING.fetch_delay_ms)) == {3: {named(A[0])}}
    alone = make_replica()
    alone.step(PeerSilent(ValidatorIndex(0)))
    alone.step(PeerSilent(ValidatorIndex(3)))
    alone.hear(plain(2, 1), plain(2, 1, transactions=(b"another",)))
    alone.hear(A[1], sender=2)
    assert asked(alone.wait(TIMING.fetch_delay_ms)) == {2: {named(A[0])}}, "better than nobody"


# --- a view begins: what lacks was sent before it, if at all


def test_the_base_of_a_view_is_asked_at_once_of_one_who_prepared_it() -> None:
    """Only some were shown it: nobody waits for it to come by itself. SPEC C4, B5."""
    tested = connected(2)
    base = prepared(0, A[0], (0, 1, 3))
    tested.hear(plain(0, 9), plain(0, 9, transactions=(b"a lie",)))
    effects = tested.hear(new_view(1, base))
    assert asked(effects) == {1: {named(A[0])}}
    assert not asked(tested.step_tick()), "once"
    assert asked(tested.wait(TIMING.fetch_timeout_ms)) == {3: {named(A[0])}}, "then who else has it"


def test_what_the_first_anchor_of_a_view_stands_on_is_asked_for_at_once() -> None:
    """A leader that lied showed it to others only; and what that stands on, too."""
    tested = connected(2)
    tested.hear(new_view(1))
    first = anchor(1, 1, ROOT, A[1])
    assert not asked(tested.hear(pre_prepare(1, first))), "the anchor itself is on its way"
    assert asked(tested.hear(first)) == {1: {named(A[1])}}
    assert asked(tested.hear(A[1], sender=1)) == {1: {named(A[0])}}
    assert said(tested.hear(A[0], sender=1), Prepare)


def test_what_a_later_anchor_stands_on_is_probably_on_its_way() -> None:
    tested = connected(2)
    first = anchor(1, 1)
    second = anchor(1, 2, first, P1)
    tested.hear(new_view(1), first, pre_prepare(1, first), second, pre_prepare(1, second))
    assert not asked(tested.everything)
    in_the_first_view = connected(2)
    over = anchor(0, 1, ROOT, P1)
    in_the_first_view.hear(over, pre_prepare(0, over))
    assert not asked(in_the_first_view.everything)


def test_a_parent_that_storage_knows_as_final_settles_the_orphan() -> None:
    tested = connected()
    tested.hear(P2)
    vertex = P1.vertex
    known = FinalVertex(
        hash=vertex.hash,
        author=vertex.author,
        index=vertex.index,
        height=vertex.height,
        sequence=vertex.sequence,
        timestamp_ms=vertex.timestamp_ms,
        finalized_by=A[0].vertex.sequence,
    )
    assert stored(tested.step(LookedUp((known,), ()))) == [named(P2)]
    assert not asked(tested.wait(TIMING.fetch_delay_ms))


def test_a_vertex_at_or_below_its_authors_newest_final_index_is_looked_up_first() -> None:
    """An old final vertex received again must not be ordered again."""
    tested = make_replica()
    tested.finalize(0, P1, P2, anchor(0, 1, ROOT, P2))
    other = plain(2, 1, transactions=(b"branch",))
    effects = tested.hear(other)
    assert of(effects, Lookup) == [Lookup((named(other),))]
    assert not of(effects, Store)
    assert tested.hear(other) == [], "it is being looked up"
    assert stored(tested.step(LookedUp((), (named(other),)))) == [named(other)]


def test_a_vertex_in_memory_as_final_is_nothing_new() -> None:
    tested = make_replica()
    tested.finalize(0, P1, anchor(0, 1, ROOT, P1))
    assert tested.hear(P1) == []


def test_a_request_is_served_from_storage_and_cut_to_its_bound() -> None:
    tested = make_replica()
    hashes = tuple(VertexHash(i.to_bytes(32, "big")) for i in range(FETCH_HASHES_MAX + 9))
    effects = tested.hear(FetchVertices(hashes=hashes), sender=3)
    assert of(effects, Serve) == [Serve(ValidatorIndex(3), vertices=hashes[:FETCH_HASHES_MAX])]


# --- bounds


def test_the_orphans_of_an_author_are_bounded() -> None:
    """SPEC C5."""
    tested = make_replica()
    missing = anchor(3, 1)
    for index in range(1, AUTHOR_ORPHANS_MAX + 1):
        tested.hear(plain(2, index, missing))
    effects = tested.hear(plain(2, 1_000, missing))
    assert of(effects, Refuse) == [Refuse(ValidatorIndex(2), Reason.TOO_MANY_ORPHANS)]
    assert len(tested.replica.intake._orphans) == AUTHOR_ORPHANS_MAX


def test_the_vertices_held_of_an_author_are_bounded() -> None:
    """SPEC C5, C6."""
    tested = make_replica()
    for index in range(1, AUTHOR_HELD_MAX + 1):
        tested.hear(plain(2, index))
    effects = tested.hear(plain(2, 1_000))
    assert of(effects, Refuse) == [Refuse(ValidatorIndex(2), Reason.TOO_MANY_HELD)]
    assert not of(effects, Store)


def flooded(*, held: bool) -> Driven:
    """Return a replica for which validator 2 has used up its bound: with vertices, or orphans."""
    tested = connected()
    nothing = anchor(3, 999)
    for index in range(1_000, 1_000 + (AUTHOR_HELD_MAX if held else AUTHOR_ORPHANS_MAX)):
        tested.hear(plain(2, index, *([] if held else [nothing])))
    return tested


@pytest.mark.parametrize("held", [False, True], ids=["orphans", "held"])
def test_what_the_open_proposal_depends_on_passes_the_bounds(held: bool) -> None:
    """SPEC C3. A liar that floods each backup with vertices on nothing could otherwise keep them
    from fetching what an honest leader has ordered of it, and so from voting."""
    tested = flooded(held=held)
    top = anchor(0, 1, ROOT, P2)
    tested.hear(top, pre_prepare(0, top))
    assert asked(tested.wait(TIMING.fetch_delay_ms))[0] == {named(P2)}
    tested.hear_all(P2, sender=0)
    assert asked(tested.wait(TIMING.fetch_delay_ms)) == {0: {named(P1)}}
    effects = tested.hear_all(P1, sender=0)
    assert [vote.anchor for vote in said(effects, Prepare)] == [named(top)]


def test_an_orphan_that_came_first_lets_its_ancestors_pass_once_it_is_proposed() -> None:
    tested = flooded(held=False)
    top = anchor(0, 1, ROOT, P2)
    tested.hear(top)
    tested.hear_all(P2, sender=0)
    assert named(P2) not in tested.replica.state.graph.orphans, "only an orphan names it"
    tested.hear(pre_prepare(0, top))
    tested.hear_all(P2, P1, sender=0)
    assert said(tested.everything, Prepare)


def test_a_proposal_lets_no_more_pass_than_one_anchor_may_order() -> None:
    """A lying leader proposes what never ends."""
    tested = flooded(held=False)
    bound = tested.committee.history_vertices_max
    chain = [plain(2, 1)]
    for index in range(2, bound + 100):
        chain.append(plain(2, index, chain[-1], ROOT))
    top = anchor(0, 1, ROOT, chain[-1])
    tested.hear(top, pre_prepare(0, top))
    for message in reversed(chain[1:]):
        tested.hear_all(message, sender=0)
    graph = tested.replica.state.graph
    assert len(graph.orphans) == AUTHOR_ORPHANS_MAX + bound
    assert len(tested.replica.intake._granted) == bound
    tested.hear_all(*(view_change(1, author) for author in (2, 3)))
    tested.hear(new_view(1))
    assert not tested.replica.intake._granted
    assert len(graph.orphans) <= 2 * AUTHOR_ORPHANS_MAX, "the bounds count again"
    assert tested.replica.intake._orphans.keys() == graph.orphans.keys()


def test_old_final_vertices_sent_again_are_not_kept_in_memory() -> None:
    """SPEC C5: there may be millions of them, and no checkpoint may come for a long time."""
    tested = connected()
    graph = tested.replica.state.graph
    tested.finalize(0, plain(2, 10_000), anchor(0, 1, ROOT, plain(2, 10_000)))
    before = len(graph.final)
    for index in range(1, 500):
        old = plain(2, index)
        tested.hear(old)
        tested.step(LookedUp((final_of(old),), ()))
    assert len(graph.final) == before


def test_old_final_vertices_that_something_names_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SPEC C5. Each orphan brings its parents back; it need not be valid."""
    monkeypatch.setattr(graph_module, "FINAL_RECALLED_MAX", 20)
    tested = connected()
    graph = tested.replica.state.graph
    for index in range(1, 200):
        old = plain(2, index)
        orphan = plain(3, index, old, ROOT)  # not its author's: invalid once complete
        tested.hear(orphan)
        tested.step(LookedUp((final_of(old),), ()))
        assert named(orphan) not in graph.orphans
    assert len(graph.final) <= 2 * 20 + 2


def test_a_chain_sent_backwards_does_not_pass_the_bound_on_orphans() -> None:
    """SPEC C5. Each vertex makes its missing parent wanted; what is wanted is not counted; so one
    liar can send an endless chain from its end and have every payload held in memory."""
    tested = make_replica()
    chain = [plain(2, 1)]
    for index in range(2, 4 * AUTHOR_ORPHANS_MAX):
        chain.append(plain(2, index, chain[-1], ROOT))
    for message in reversed(chain[1:]):
        tested.hear(message)
    assert len(tested.replica.state.graph.orphans) <= AUTHOR_ORPHANS_MAX


def test_refused_vertices_leave_nothing_behind() -> None:
    """SPEC C5. What is kept to notice a second vertex for one index must be bounded as well."""
    tested = make_replica()
    for index in range(1, 2 * AUTHOR_HELD_MAX + 200):
        tested.hear(plain(2, index))
    assert len(tested.replica.intake._by_index) <= AUTHOR_HELD_MAX + AUTHOR_ORPHANS_MAX


def test_what_waits_for_storage_is_bounded() -> None:
    """SPEC C5."""
    tested = make_replica()
    tested.finalize(0, plain(2, 900), anchor(0, 1, ROOT, plain(2, 900)))
    for index in range(1, LOOKUP_HASHES_MAX + 50):
        tested.hear(plain(2, index))
    assert len(tested.replica.intake._checking) == LOOKUP_HASHES_MAX


def test_wants_are_forgotten_when_nothing_needs_them_any_more() -> None:
    """SPEC C5. A leader that proposes anchors which do not exist leaves a want behind in every
    view it leads; each is asked for every 400 ms for ever."""
    tested = connected()
    for view in range(0, 40, 4):
        ghost = anchor(0, 100 + view)
        tested.hear(pre_prepare(view, ghost))
        tested.hear_all(*(view_change(view + 4, author) for author in (2, 3)))
        tested.hear(new_view(view + 4))
    assert len(tested.replica.intake._wants) <= 2


def test_more_wants_than_fit_a_request_do_not_keep_the_replica_awake() -> None:
    """A deadline in the past makes the shell spin, and every turn sends 64 more requests."""
    tested = connected()
    for author in (0, 2, 3):
        for index in range(1, 40):
            ghost = anchor(3 if author != 3 else 2, 500 + 100 * author + index)
            tested.hear(plain(author, index, ghost), sender=2)
    tested.wait(TIMING.fetch_delay_ms)
    assert tested.replica.deadline_ms() > tested.now_ms
