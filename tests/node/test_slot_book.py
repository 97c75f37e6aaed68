"""Source of every claim: docs/operator-socket.md, section 6."""

from dataclasses import dataclass, replace

from cretonode.core.effects import Entered, Finalize
from cretonode.core.messages import Message, Vote
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View
from cretonode.node.slot_book import AHEAD_MAX, LATE_MS, SlotBook
from cretonode.operator.protocol_deltas import SLOTS_MAX
from cretonode.operator.protocol_topics import Mark, SlotSnapshot
from tests.core.replicas import (
    COMMITTEE,
    ROOT,
    START_MS,
    Driven,
    anchor,
    anchors,
    commit,
    committed,
    make_replica,
    plain,
    pre_prepare,
    prepare,
    prepared,
    view_change,
)

MISSING, SEEN, LATE, INVALID, EQUIVOCATING, UNKNOWN = Mark


@dataclass
class Looked:
    """A replica and the book that looks on, as the driver lets it."""

    tested: Driven
    book: SlotBook
    seen: int = 0

    def hear(self, *messages: Message) -> None:
        for message in messages:
            view = self.tested.replica.state.view
            match message:
                case _ if hasattr(message, "anchor") and hasattr(message, "author"):
                    self.book.on_vote(message, self.tested.now_ms, view=view)
                case _ if hasattr(message, "votes"):
                    self.book.on_certificate(message, self.tested.now_ms, view=view)
                case _:
                    pass
            self.tested.hear_all(message)
            self.carry_out()

    def carry_out(self) -> None:
        for effect in self.tested.everything[self.seen :]:
            state = self.tested.replica.state
            if isinstance(effect, Finalize):
                self.book.on_finalize(effect, self.tested.now_ms, view=state.view)
            if isinstance(effect, Entered):
                slots = self.tested.replica.ordering.slots.values()
                self.book.on_entered(slots, self.tested.now_ms, view=effect.view)
        self.seen = len(self.tested.everything)

    def page(self, sequence: int) -> SlotSnapshot:
        return {page.sequence: page for page in self.book.changed(0)}[SequenceNumber(sequence)]


def looked(tested: Driven | None = None) -> Looked:
    tested = tested or make_replica()
    return Looked(tested, SlotBook(COMMITTEE, tested.replica.state.final))


def test_a_sequence_is_followed_from_its_proposal_to_its_end() -> None:
    it = looked()
    other = plain(2, 1, transactions=(b"a", b"b"))
    first = anchor(0, 1, ROOT, other)
    it.hear(other)
    it.hear(first, pre_prepare(0, first))
    page = it.page(1)
    assert (page.view, page.leader, page.since_ms) == (0, 0, START_MS)
    assert page.anchor == first.vertex.hash
    assert page.pre_prepared
    assert not page.prepared
    assert list(page.prepares) == [SEEN, MISSING, MISSING, MISSING]
    it.hear(prepare(0, first, 1), prepare(0, first, 2))
    assert it.page(1).prepared
    assert list(it.page(1).prepares) == [SEEN, SEEN, SEEN, MISSING]
    it.tested.now_ms += 40
    it.hear(commit(0, first, 0), commit(0, first, 1), commit(0, first, 2))
    page = it.page(1)
    assert page.committed
    assert page.executed
    assert page.finality_ms == 40
    assert (page.authors, page.vertices, page.transactions) == (2, 2, 2)
    assert list(page.commits) == [SEEN, SEEN, SEEN, MISSING]


def test_a_vote_long_after_the_quorum_is_late_and_one_just_after_is_not() -> None:
    for delay_ms, mark in ((LATE_MS, SEEN), (LATE_MS + 1, LATE)):
        it = looked()
        first = anchor(0, 1)
        it.hear(first, pre_prepare(0, first), prepare(0, first, 1), prepare(0, first, 2))
        it.hear(*(commit(0, first, author) for author in (0, 1, 2)))
        it.tested.now_ms += delay_ms
        it.book.on_vote(prepare(0, first, 3), it.tested.now_ms, view=View(0))
        it.book.on_vote(commit(0, first, 3), it.tested.now_ms, view=View(0))
        assert it.page(1).prepares[3] == mark
        assert it.page(1).commits[3] == mark


def test_what_is_worse_than_missing_stays_whatever_comes_after() -> None:
    it = looked()
    first = anchor(0, 1)
    it.hear(first, pre_prepare(0, first))
    it.book.on_refuted(prepare(0, first, 2), mark=Mark.INVALID)
    it.book.on_refuted(commit(0, first, 3), mark=Mark.EQUIVOCATING)
    it.book.on_refuted(commit(0, first, 3), mark=Mark.INVALID)
    it.hear(prepare(0, first, 2), commit(0, first, 3))
    assert it.page(1).prepares[2] == INVALID
    assert it.page(1).commits[3] == EQUIVOCATING
    assert not it.page(1).prepared


def test_a_certificate_shows_who_voted() -> None:
    it = looked()
    first = anchor(0, 1)
    it.hear(first, prepared(0, first, (0, 2, 3)))
    assert list(it.page(1).prepares) == [SEEN, MISSING, SEEN, SEEN]
    assert it.page(1).anchor == first.vertex.hash
    it.hear(committed(0, first, (1, 2, 3)))
    assert list(it.page(1).commits) == [MISSING, SEEN, SEEN, SEEN]
    assert it.page(1).executed


def test_a_sequence_that_was_fetched_says_so() -> None:
    it = looked()
    some = anchors(0, 3)
    for message in some:
        it.hear(message)
    it.hear(committed(0, some[2]))
    assert it.page(1).fetched
    assert list(it.page(1).prepares) == [UNKNOWN] * 4
    assert it.page(1).finality_ms is None
    assert not it.page(3).fetched  # its certificate was heard


def test_another_view_begins_the_page_again() -> None:
    it = looked()
    first = anchor(0, 1)
    it.hear(first, pre_prepare(0, first), prepare(0, first, 2))
    it.tested.now_ms += 500
    it.hear(view_change(2, 2), view_change(2, 3))
    again = anchor(2, 1)
    it.hear(again, pre_prepare(2, again))
    page = it.page(1)
    assert (page.view, page.leader, page.views) == (2, 2, 2)
    assert page.since_ms == it.tested.now_ms
    assert page.anchor == again.vertex.hash
    assert list(page.prepares) == [MISSING, MISSING, SEEN, MISSING]
    it.hear(prepare(0, first, 3))  # of the view that was left
    assert it.page(1).prepares[3] == MISSING


def test_who_contradicted_itself_stays_marked_when_the_view_moves() -> None:
    it = looked()
    first = anchor(0, 1)
    it.hear(first, pre_prepare(0, first), prepare(0, first, 2))
    it.book.on_refuted(prepare(0, first, 0), mark=Mark.EQUIVOCATING)
    it.book.on_refuted(prepare(0, first, 3), mark=Mark.INVALID)
    it.hear(view_change(2, 2), view_change(2, 3))
    again = anchor(2, 1)
    it.hear(again, pre_prepare(2, again))
    assert list(it.page(1).prepares) == [EQUIVOCATING, MISSING, SEEN, MISSING]
    it.book.on_refuted(commit(0, first, 3), mark=Mark.EQUIVOCATING)  # found out later
    it.book.on_refuted(commit(0, first, 1), mark=Mark.INVALID)
    assert list(it.page(1).commits) == [MISSING, MISSING, MISSING, EQUIVOCATING]
    it.hear(prepare(2, again, 1))
    assert not it.page(1).prepared  # two of a quorum of three: the liar has no say here


def test_votes_that_came_before_their_view_count_when_it_is_entered() -> None:
    it = looked()
    again = anchor(2, 1)
    it.hear(again, prepare(2, again, 0), prepare(2, again, 3))
    assert list(it.book.changed(0)) == []
    it.hear(view_change(2, 2), view_change(2, 3))
    assert it.tested.replica.state.view == 2
    assert list(it.page(1).prepares) == [SEEN, MISSING, MISSING, SEEN]


def test_only_what_changed_is_told_again() -> None:
    it = looked()
    some = anchors(0, 2)
    it.hear(some[0], pre_prepare(0, some[0]), some[1], pre_prepare(0, some[1]))
    number = it.book.number
    assert list(it.book.changed(number)) == []
    it.hear(prepare(0, some[1], 3))
    assert [page.sequence for page in it.book.changed(number)] == [2]
    it.hear(prepare(0, some[1], 3))  # sent again
    assert [page.sequence for page in it.book.changed(it.book.number)] == []


def test_the_book_is_bounded_whatever_comes() -> None:
    """The newest stay; votes far ahead are no page's."""
    book = SlotBook(COMMITTEE, SequenceNumber(0))
    vote: Vote = prepare(0, anchor(0, 1), 2)
    for sequence in range(1, 3 * AHEAD_MAX):
        book.on_vote(replace(vote, sequence=SequenceNumber(sequence)), 5, view=View(0))
    assert len(book.pages) == AHEAD_MAX
    tested = make_replica()
    (first,) = [e for e in tested.finalize(0, anchor(0, 1)) if isinstance(e, Finalize)]
    for sequence in range(1, 2 * SLOTS_MAX):
        book.on_finalize(replace(first, sequence=SequenceNumber(sequence)), 5, view=View(0))
    assert len(book.pages) == SLOTS_MAX
    assert max(book.pages) == 2 * SLOTS_MAX - 1
    book.on_vote(replace(vote, sequence=SequenceNumber(1)), 5, view=View(0))  # long gone
    assert len(book.pages) == SLOTS_MAX
    assert vote.author == ValidatorIndex(2)
