"""Which votes came for each sequence, and when: for whoever looks at the node, not for the node.

The core forgets a sequence's votes when it is final and has no use for those past the quorum; here
they are kept for the newest sequences. Nothing is decided on it. Pure: time is an argument.
Source: docs/operator-socket.md, section 6.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cretonode.core.committee import Committee
from cretonode.core.effects import Finalize
from cretonode.core.messages import (
    Commit,
    CommitCertificate,
    PrepareCertificate,
    PrePrepare,
    Vote,
)
from cretonode.core.slots import Slot
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.operator.protocol_deltas import SLOTS_MAX
from cretonode.operator.protocol_topics import Mark, SlotSnapshot

AHEAD_MAX: Final = 64  # sequences above the final one; votes beyond are not shown
LATE_MS: Final = 100  # after the quorum was complete

_NOT_COME: Final = (Mark.MISSING, Mark.UNKNOWN)


@dataclass(slots=True)
class Page:
    """One sequence. Bound: two marks of each validator."""

    sequence: SequenceNumber
    view: View
    since_ms: int
    prepares: bytearray
    commits: bytearray
    number: int = 0  # of its last change
    anchor: VertexHash | None = None
    pre_prepared: bool = False
    prepared_ms: int | None = None
    committed_ms: int | None = None
    executed: bool = False
    fetched: bool = False
    authors: int = 0
    vertices: int = 0
    transactions: int = 0
    finality_ms: int | None = None
    views: int = 1


@dataclass(slots=True)
class SlotBook:
    """Bound: SLOTS_MAX pages, the highest sequences."""

    committee: Committee
    final: SequenceNumber
    number: int = 0  # of changes
    final_at_ms: int | None = None
    pages: dict[SequenceNumber, Page] = field(default_factory=dict)

    def on_vote(self, vote: Vote, now_ms: int, *, view: View) -> None:
        """Note a vote that came while this node was in `view`; one of a later view is not yet."""
        if vote.view > view:
            return
        page = self._page(vote.sequence, vote.view, now_ms)
        if page is None or vote.view != page.view:
            return
        if isinstance(vote, PrePrepare) and not page.pre_prepared:
            page.pre_prepared = True
            page.anchor = vote.anchor
            self._touch(page)
        is_commit = isinstance(vote, Commit)
        done_ms = page.committed_ms if is_commit else page.prepared_ms
        late = done_ms is not None and now_ms - done_ms > LATE_MS
        self._mark(page, vote.author, is_commit=is_commit, late=late)
        self._count(page, now_ms)

    def on_certificate(
        self, certificate: PrepareCertificate | CommitCertificate, now_ms: int, *, view: View
    ) -> None:
        """Note the votes in a certificate."""
        if certificate.view > view:
            return
        page = self._page(certificate.sequence, certificate.view, now_ms)
        if page is None or certificate.view != page.view or page.executed:
            return
        is_commit = isinstance(certificate, CommitCertificate)
        for signed in certificate.votes:
            self._mark(page, signed.author, is_commit=is_commit, late=False)
        if not is_commit and not page.pre_prepared:
            page.pre_prepared, page.anchor = True, certificate.anchor
        self._count(page, now_ms)

    def on_refuted(self, vote: Vote, *, mark: Mark) -> None:
        """Note a vote that is worse than missing. A contradiction counts in later views, too."""
        page = self.pages.get(vote.sequence)
        if page is None or vote.view > page.view:
            return
        if vote.view < page.view and mark is not Mark.EQUIVOCATING:
            return
        marks = page.commits if isinstance(vote, Commit) else page.prepares
        if marks[vote.author] < mark or marks[vote.author] == Mark.UNKNOWN:
            marks[vote.author] = mark
            self._touch(page)

    def on_entered(self, slots: Iterable[Slot], now_ms: int, *, view: View) -> None:
        """Note the votes of a new view that came before it was entered."""
        for slot in slots:
            if slot.pre_prepare is not None:
                self.on_vote(slot.pre_prepare, now_ms, view=view)
            votes: list[Vote] = [*slot.prepares.values(), *slot.commits.values()]
            for vote in votes:
                self.on_vote(vote, now_ms, view=view)

    def on_finalize(self, effect: Finalize, now_ms: int, *, view: View) -> None:
        """Note that a sequence is final."""
        self.final = effect.sequence
        self.final_at_ms = now_ms
        page = self.pages.get(effect.sequence)
        if page is None:
            page = self._begin(effect.sequence, view, now_ms)
            page.fetched = True
            page.prepares = bytearray([Mark.UNKNOWN]) * self.committee.size
            page.commits = bytearray([Mark.UNKNOWN]) * self.committee.size
        else:
            page.finality_ms = now_ms - page.since_ms
        if effect.certificate is not None:
            if effect.certificate.view > page.view:
                self._restart(page, effect.certificate.view, now_ms)
            for signed in effect.certificate.votes:
                self._mark(page, signed.author, is_commit=True, late=False)
        page.pre_prepared = page.executed = True
        page.prepared_ms = now_ms if page.prepared_ms is None else page.prepared_ms
        page.committed_ms = now_ms if page.committed_ms is None else page.committed_ms
        page.anchor = effect.anchor.hash
        page.authors = len({vertex.author for vertex in effect.vertices})
        page.vertices = len(effect.vertices)
        page.transactions = sum(
            vertex.transaction_count - skipped.bit_count()
            for vertex, skipped in zip(effect.vertices, effect.skipped, strict=True)
        )
        self._touch(page)

    def changed(self, number: int) -> Iterator[SlotSnapshot]:
        """Yield the sequences that changed after `number`, the lowest first."""
        if self.number == number:
            return
        for sequence in sorted(self.pages):
            page = self.pages[sequence]
            if page.number > number:
                yield self._snapshot(page)

    def _snapshot(self, page: Page) -> SlotSnapshot:
        return SlotSnapshot(
            sequence=page.sequence,
            view=page.view,
            leader=self.committee.leader_of(page.view),
            since_ms=page.since_ms,
            anchor=page.anchor,
            pre_prepared=page.pre_prepared,
            prepared=page.prepared_ms is not None,
            committed=page.committed_ms is not None,
            executed=page.executed,
            fetched=page.fetched,
            prepares=bytes(page.prepares),
            commits=bytes(page.commits),
            authors=page.authors,
            vertices=page.vertices,
            transactions=page.transactions,
            finality_ms=page.finality_ms,
            views=page.views,
        )

    def _page(self, sequence: SequenceNumber, view: View, now_ms: int) -> Page | None:
        """Return the page of a sequence in `view` or a later one; None: too far off, or gone."""
        page = self.pages.get(sequence)
        if page is None:
            if not self.final < sequence <= self.final + AHEAD_MAX:
                return None
            return self._begin(sequence, view, now_ms)
        if view > page.view and not page.executed:
            self._restart(page, view, now_ms)
        return page

    def _begin(self, sequence: SequenceNumber, view: View, now_ms: int) -> Page:
        size = self.committee.size
        page = Page(sequence, view, now_ms, bytearray(size), bytearray(size))
        self.pages[sequence] = page
        if len(self.pages) > SLOTS_MAX:
            del self.pages[min(self.pages)]
        self._touch(page)
        return page

    def _restart(self, page: Page, view: View, now_ms: int) -> None:
        """Begin the page of a sequence again: it is voted on in another view.

        Who contradicted itself stays marked: the mark says so, and not that it voted.
        """
        page.view, page.since_ms, page.views = view, now_ms, page.views + 1
        for marks in (page.prepares, page.commits):
            for author, mark in enumerate(marks):
                if mark != Mark.EQUIVOCATING:
                    marks[author] = Mark.MISSING
        page.anchor, page.pre_prepared = None, False
        page.prepared_ms = page.committed_ms = None
        self._touch(page)

    def _mark(self, page: Page, author: ValidatorIndex, *, is_commit: bool, late: bool) -> None:
        marks = page.commits if is_commit else page.prepares
        if marks[author] in _NOT_COME:
            marks[author] = Mark.LATE if late else Mark.SEEN
            self._touch(page)

    def _count(self, page: Page, now_ms: int) -> None:
        """Note when a phase has its quorum."""
        if page.prepared_ms is None and page.pre_prepared and self._is_quorum(page.prepares):
            page.prepared_ms = now_ms
        if page.committed_ms is None and self._is_quorum(page.commits):
            page.committed_ms = now_ms

    def _is_quorum(self, marks: bytearray) -> bool:
        """True when so many voted, without those that contradict themselves."""
        return marks.count(Mark.SEEN) + marks.count(Mark.LATE) >= self.committee.quorum

    def _touch(self, page: Page) -> None:
        self.number += 1
        page.number = self.number
