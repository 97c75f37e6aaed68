"""Source of every claim: docs/operator-socket.md, section 6."""

from dataclasses import replace

from cretonode.core.effects import Entered, Finalize
from cretonode.core.events import PeerSilent, StepDown
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View
from cretonode.node.phase import waiting_of
from cretonode.node.vertex_book import VertexBook
from cretonode.node.view_book import ViewBook
from cretonode.operator.protocol_deltas import VERTICES_MAX, VIEW_CHANGES_MAX
from cretonode.operator.protocol_topics import Phase, VertexSnapshot, ViewChangeSnapshot
from tests.core.replicas import (
    ROOT,
    Driven,
    anchor,
    anchors,
    commit,
    committed,
    make_replica,
    of,
    plain,
    pre_prepare,
    prepare,
    suspect,
    view_change,
)

NAMES = ("zero", "one", "two", "three")


# --- view changes


def changes(book: ViewBook, number: int = 0) -> list[ViewChangeSnapshot]:
    return list(book.changed(number))


def note(book: ViewBook, tested: Driven, seen: int = 0) -> None:
    for effect in of(tested.everything[seen:], Entered):
        book.on_entered(effect, tested.now_ms)
    book.settle(tested.now_ms)


def test_a_view_change_is_told_with_cause_leaders_and_voters() -> None:
    tested = make_replica()
    book = ViewBook(tested.replica, NAMES)
    tested.hear(view_change(2, 2), view_change(2, 3))
    note(book, tested)
    (change,) = changes(book)
    assert (change.from_view, change.from_leader) == (0, 0)
    assert (change.to_view, change.to_leader) == (2, 2)
    assert (change.cause, change.reason) == ("joined", "two, three had left for it")
    assert list(change.voters) == [0, 0, 1, 1]
    assert not change.ended
    assert change.duration_ms is None
    number = book.number
    tested.hear(view_change(2, 0))
    (change,) = changes(book, number)
    assert list(change.voters) == [1, 0, 1, 1]
    assert changes(book, book.number) == []


def test_a_view_change_ends_when_the_view_opens() -> None:
    tested = make_replica()
    book = ViewBook(tested.replica, NAMES)
    tested.hear(view_change(1, 2), view_change(1, 3))
    note(book, tested)
    tested.now_ms += 70
    seen = len(tested.everything)
    tested.come_back(tested.everything)
    assert tested.replica.state.base is not None
    note(book, tested, seen)
    (change,) = changes(book)
    assert change.ended
    assert change.duration_ms == 70
    assert list(change.voters) == [0, 1, 1, 1]


def test_a_view_that_never_opened_ends_without_a_duration() -> None:
    tested = make_replica()
    book = ViewBook(tested.replica, NAMES)
    tested.hear(view_change(2, 2), view_change(2, 3))
    note(book, tested)
    seen = len(tested.everything)
    tested.hear(view_change(3, 2), view_change(3, 3))
    note(book, tested, seen)
    first, second = changes(book)
    assert first.ended
    assert first.duration_ms is None
    assert (second.from_view, second.to_view, second.ended) == (2, 3, False)


def test_reasons_name_whom_they_are_about() -> None:
    tested = make_replica()
    book = ViewBook(tested.replica, NAMES)
    tested.step(PeerSilent(ValidatorIndex(0)))
    tested.hear_all(suspect(2), suspect(3))
    note(book, tested)
    assert changes(book)[-1].reason.startswith("zero was suspected by ")
    assert "two, three" in changes(book)[-1].reason

    leads = make_replica(me=0)
    book = ViewBook(leads.replica, NAMES)
    leads.do(StepDown())
    note(book, leads)
    assert changes(book)[-1].reason == "zero was asked to give the lead up"
    for cause in ("leader left", "equivocation", "timeout", "fetched back", "new-view", "else"):
        entered = Entered(view=View(9), leader=ValidatorIndex(1), cause=cause)
        book.on_entered(entered, 5)
        assert changes(book)[-1].reason


def test_the_views_kept_are_bounded() -> None:
    book = ViewBook(make_replica().replica, NAMES)
    for view in range(1, 2 * VIEW_CHANGES_MAX):
        book.on_entered(Entered(view=View(view), leader=ValidatorIndex(0), cause="timeout"), view)
    assert len(changes(book)) == VIEW_CHANGES_MAX


# --- vertices


def told(book: VertexBook, number: int = 0) -> list[VertexSnapshot]:
    book.refresh()
    return [vertex for _, vertex in book.changed(number)]


def test_a_vertex_is_told_when_it_comes_and_when_it_is_final() -> None:
    tested = make_replica()
    book = VertexBook(tested.replica.state.graph)
    some = plain(2, 1, transactions=(b"a",))
    tested.hear(some)
    (vertex,) = told(book)
    assert vertex.hash == some.vertex.hash
    assert (vertex.state, vertex.sequence, vertex.transactions) == ("waiting", None, 1)
    number = book.number
    assert told(book, number) == []
    for effect in of(tested.finalize(0, anchor(0, 1, ROOT, some)), Finalize):
        book.on_finalize(effect)
    first, second = told(book, number)
    assert (first.hash, first.state, first.sequence) == (some.vertex.hash, "final", 1)
    assert second.anchor == 1
    assert told(book)[0] == first  # the state it was in before is not told any more


def test_an_orphan_says_what_it_lacks_and_one_that_goes_is_told() -> None:
    tested = make_replica()
    book = VertexBook(tested.replica.state.graph)
    parent = plain(2, 1)
    tested.hear(plain(2, 2, parent, ROOT))
    (orphan,) = told(book)
    assert (orphan.state, orphan.missing) == ("orphan", parent.vertex.hash)
    number = book.number
    tested.replica.state.graph._drop_orphan(orphan.hash)
    (gone,) = told(book, number)
    assert (gone.hash, gone.state) == (orphan.hash, "dropped")


def test_the_vertices_kept_are_bounded() -> None:
    tested = make_replica()
    book = VertexBook(tested.replica.state.graph)
    (first,) = of(tested.finalize(0, anchor(0, 1)), Finalize)
    for sequence in range(1, 2 * VERTICES_MAX):
        book.on_finalize(replace(first, sequence=SequenceNumber(sequence)))
    assert len(told(book)) == VERTICES_MAX
    for index in range(1, 400):
        for author in (0, 2, 3):
            tested.hear(plain(author, index))
            tested.hear(plain(author, index, anchor(0, 7, timestamp_ms=index)))
        book.refresh()
    assert len(book.here) <= 2 * VERTICES_MAX


# --- what the node waits for


def test_the_phase_names_whom_it_waits_for() -> None:
    """SPEC C1."""
    tested = make_replica()
    replica = tested.replica
    assert waiting_of(replica).phase is Phase.IDLE
    tested.hear(plain(2, 1))
    assert waiting_of(replica) == (Phase.PRE_PREPARE, {0}, 1)
    first = anchor(0, 1)
    tested.hear_all(first, pre_prepare(0, first))
    assert waiting_of(replica) == (Phase.PREPARE, {2, 3}, 1)
    assert waiting_of(replica).marks(4) == bytes([0, 0, 1, 1])
    tested.hear_all(prepare(0, first, 3))
    assert waiting_of(replica) == (Phase.COMMIT, {0, 2, 3}, 2)
    tested.hear_all(commit(0, first, 0), commit(0, first, 3))
    assert waiting_of(replica).phase is Phase.PRE_PREPARE  # the plain vertex still waits


def test_a_view_change_waits_for_votes_and_then_for_its_leader() -> None:
    tested = make_replica(me=3)
    tested.hear_all(view_change(2, 0), view_change(2, 1))
    assert waiting_of(tested.replica) == (Phase.NEW_VIEW, {2}, 1)
    lone = make_replica(me=3)
    lone.hear(view_change(2, 0), view_change(2, 1))  # the own word is not on the disk yet
    assert waiting_of(lone.replica) == (Phase.VIEW_CHANGE, {2, 3}, 1)


def test_what_is_certified_and_not_here_is_waited_for() -> None:
    tested = make_replica()
    tested.hear(committed(0, anchors(0, 2)[1]))
    assert waiting_of(tested.replica).phase is Phase.EXECUTE
