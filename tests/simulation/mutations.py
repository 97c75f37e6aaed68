"""Bugs planted on purpose, each a small patch of the real code: the gate that oracles must pass.

`MUTATIONS` maps a name to a context manager that plants the bug, and to the seeds that are known
to catch it; what a change of the simulator makes of other seeds is found again by
`just simulate mutations=yes`.
"""

from collections import deque
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

from cretonode.core import amnesia, certificate, replica
from cretonode.core.catch_up import Asked, CatchUp
from cretonode.core.committee import Committee
from cretonode.core.dedup import Dedup
from cretonode.core.effects import Persist, Say
from cretonode.core.events import Batch
from cretonode.core.execution import Execution
from cretonode.core.messages import (
    Commit,
    Message,
    NewView,
    Prepare,
    ViewChange,
    ViewChangeVote,
    Vote,
)
from cretonode.core.ordering import Ordering
from cretonode.core.proposer import Proposer
from cretonode.core.ranges import CertifiedRange
from cretonode.core.records import BaseAdopted, Promises, Record, SaidNewView
from cretonode.core.slots import Slot
from cretonode.core.statements import Claim, claims_of
from cretonode.core.views import Views
from cretonode.dag.chain import Link
from cretonode.dag.graph import Added, Graph
from cretonode.dag.payload import each_id
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.node.batcher import Batcher
from tests.simulation import signatures
from tests.simulation.clients import Clients
from tests.simulation.world import World

Planted = AbstractContextManager[None]


@contextmanager
def all_of(*patches: AbstractContextManager[Any]) -> Iterator[None]:
    """Plant several patches that make one bug."""
    with ExitStack() as stack:
        for one in patches:
            stack.enter_context(one)
        yield


# --- quorums


def quorum_one_short() -> Planted:
    """A certificate of q - 1 votes."""

    check = Committee.__post_init__

    def checked_before(self: Committee) -> None:
        check(self)
        object.__setattr__(self, "quorum", max(1, self.quorum - 1))

    return all_of(patch.object(Committee, "__post_init__", checked_before))


def prepares_across_views() -> Planted:
    """Prepares of another view count."""
    on_vote = Ordering.on_vote

    def counts(self: Ordering, sender: ValidatorIndex, vote: Vote) -> None:
        if isinstance(vote, Prepare) and vote.view < self.state.view:
            vote = replace(vote, view=self.state.view)
        on_vote(self, sender, vote)

    return all_of(patch.object(Ordering, "on_vote", counts))


def new_view_one_short() -> Planted:
    """A view is opened on q - 1 view-changes."""

    def check(committee: Committee, votes: tuple[Any, ...]) -> None:
        few = committee.quorum - 1 if votes and isinstance(votes[0], ViewChangeVote) else None
        if few != len(votes):
            check_quorum(committee, votes)

    check_quorum = certificate._check_quorum_untrusted
    return all_of(
        patch.object(certificate, "_check_quorum_untrusted", check),
        patch.object(Views, "_try_open", _opening(lambda q: q - 1, highest=True)),
    )


# --- view changes


def lock_forgotten() -> Planted:
    """Who leaves a view forgets its high certificate."""
    enter = Views._enter

    def forget(self: Views, view: View, cause: str) -> None:
        enter(self, view, cause)
        self.state.high = None

    return all_of(patch.object(Views, "_enter", forget))


def any_certificate() -> Planted:
    """A new leader opens its view on any position reported, not on the highest."""

    def check(committee: Committee, message: NewView) -> None:
        certificate._check_proof_untrusted(committee, message.base, message.certificate)

    return all_of(
        patch.object(certificate, "_check_new_view_untrusted", check),
        patch.object(Views, "_try_open", _opening(lambda q: q, highest=False)),
    )


def certificates_unverified() -> Planted:
    """The certificate inside a view-change or new-view is believed."""

    def unverified(committee: Committee, message: Message) -> Iterator[Claim]:
        if isinstance(message, ViewChange | NewView):
            message = replace(message, certificate=None)
        yield from claims_of(committee, message)

    return all_of(patch.object(signatures, "claims_of", unverified))


def votes_in_old_view() -> Planted:
    """A replica goes on to commit in the view it has left."""
    begin_view, on_vote = Ordering.begin_view, Ordering.on_vote
    left: dict[int, tuple[View, dict[SequenceNumber, Slot]]] = {}

    def keep(self: Ordering) -> None:
        left[id(self)] = (View(self.state.view - 1), dict(self.slots))
        begin_view(self)

    def go_on(self: Ordering, sender: ValidatorIndex, vote: Vote) -> None:
        view, slots = left.get(id(self), (View(-1), {}))
        slot = slots.get(vote.sequence)
        if vote.view != view or slot is None or vote.sequence <= self.state.final:
            on_vote(self, sender, vote)
            return
        slot.add(vote)
        if isinstance(vote, Commit):
            if slot.try_committed(self.state.committee, vote) and slot.committed is not None:
                self.execution.learn(slot.committed)
        elif slot.try_prepared(self.state.committee, vote.anchor):
            self._try_commit(slot)

    return all_of(
        patch.object(Ordering, "begin_view", keep), patch.object(Ordering, "on_vote", go_on)
    )


def two_bases() -> Planted:
    """A view that is open is opened again on another base."""
    on_new_view = Views.on_new_view

    def adopt(self: Views, message: NewView) -> None:
        if message.view == self.state.view and self.state.base not in (None, message.base):
            self.new_view = self.state.base = None
        on_new_view(self, message)

    return all_of(patch.object(Views, "on_new_view", adopt), _any_base_folds())


def fixed_timeout() -> Planted:
    """The timeout never grows, and nobody joins f + 1 others in a later view."""

    def timeout_ms(self: Views) -> int:
        return self.state.timing.view_change_timeout_ms

    return all_of(
        patch.object(Views, "_timeout_ms", timeout_ms),
        patch.object(Views, "_join", lambda self: None),
    )


def window_without_base() -> Planted:
    """The window is low + W, wherever the base is."""

    def high_watermark(
        self: Committee, low: SequenceNumber, base: SequenceNumber
    ) -> SequenceNumber:
        return SequenceNumber(low + self.parameters.window)

    return all_of(patch.object(Committee, "high_watermark", high_watermark))


# --- crashes


def sent_before_synced() -> Planted:
    """Votes leave before the journal is on disk."""
    return all_of(patch.object(World, "_must_sync_first", lambda self: False))


def base_lost() -> Planted:
    """A restarted replica does not know the base of its view any more."""
    return _any_base_folds(ignored=True)


def rejoined_on_few() -> Planted:
    """An amnesiac believes f + 1 attestations."""
    return all_of(patch.object(amnesia, "attesters_needed", lambda committee: committee.faults + 1))


def window_after_loss_shut() -> Planted:
    """After a lost journal the stable checkpoint of the database does not count."""

    def newest(promised: Any, kept: Any) -> Any:
        return promised

    return all_of(patch.object(replica, "_newest", newest))


def batch_kept() -> Planted:
    """A leader that may not propose keeps its clients' batch for an anchor."""
    advance = Proposer.advance

    def sit(self: Proposer) -> None:
        batch = self._batch
        if batch is None or not self.state.leads or self._may_propose() or self._is_aged():
            advance(self)
            return
        self._time_slot()

    return all_of(patch.object(Proposer, "advance", sit))


def asked_above_unnamed() -> Planted:
    """Ranges are asked for above a sequence whose vertices no answer has named."""
    take = CatchUp._take

    def forget(self: CatchUp, asked: Asked, found: CertifiedRange) -> None:
        take(self, asked, found)
        self._is_unnamed = False

    return all_of(patch.object(CatchUp, "_take", forget))


# --- vertices and transactions


def parent_link_forgotten() -> Planted:
    """An anchor is accepted on top of any anchor, not only of its own first parent."""

    def fits(self: Ordering, link: Link, sequence: SequenceNumber) -> bool:
        anchor = link.anchor
        return anchor.author == self.state.leader and anchor.sequence == sequence

    return all_of(patch.object(Ordering, "_fits", fits))


def parents_not_awaited() -> Planted:
    """An anchor is admitted although some of what it orders has not arrived: that is left out."""
    add, history, reference = Graph.add, Graph.history, Execution._reference

    def admit(self: Graph, vertex: Vertex, *, wanted: bool) -> Added:
        if not vertex.is_anchor or self.knows(vertex.hash) or not self.knows(vertex.parents[0]):
            return add(self, vertex, wanted=wanted)
        if all(self.knows(parent) for parent in vertex.parents):
            return add(self, vertex, wanted=wanted)
        self._admit(vertex)
        return Added(admitted=(vertex,))

    def of_what_is_here(self: Graph, anchor: Vertex, covered: Container[VertexHash]) -> Any:
        return history(self, anchor, Covering(self, covered))

    def here(self: Execution, vertex: Vertex) -> SequenceNumber:
        is_here = vertex.parents[-1] in self.state.graph.final
        return reference(self, vertex) if is_here else self.state.final

    return all_of(
        patch.object(Graph, "add", admit),
        patch.object(Graph, "history", of_what_is_here),
        patch.object(Execution, "_reference", here),
    )


def dedup_in_one_vertex() -> Planted:
    """A repetition is noticed within one vertex only."""

    def execute(self: Dedup, transaction_ids: bytes) -> int:
        skipped, seen = 0, set()
        for bit, transaction in enumerate(each_id(transaction_ids)):
            if transaction in seen:
                skipped |= 1 << bit
            seen.add(transaction)
        return skipped

    return all_of(patch.object(Dedup, "execute", execute))


def late_executed() -> Planted:
    """A vertex is executed however long its author was away."""
    return all_of(patch.object(Dedup, "reaches", lambda self, since: True))


def late_lost() -> Planted:
    """What a vertex carried that came too late is not taken up again."""
    return all_of(patch.object(Clients, "_retake", lambda self, retakes: None))


def asked_once() -> Planted:
    """Whether a transaction was executed is asked when it comes, not when it goes."""
    take = Batcher.take

    def unasked(self: Batcher, now_ms: int) -> Batch | None:
        latest = self.executed.latest
        self._waiting = deque((*entry[:3], latest) for entry in self._waiting)
        return take(self, now_ms)

    return all_of(patch.object(Batcher, "take", unasked))


# --- helpers


@dataclass(frozen=True, slots=True)
class Covering:
    """What is covered, and what is not here."""

    graph: Graph
    covered: Container[VertexHash]

    def __contains__(self, vertex: VertexHash) -> bool:
        return vertex in self.covered or vertex not in self.graph.admitted


def _opening(enough: Callable[[int], int], *, highest: bool) -> Callable[[Views], None]:
    """Return `Views._try_open` with another quorum or another choice of base."""

    def try_open(self: Views) -> None:
        state = self.state
        if state.base is not None or state.leader != state.me or self._opened == state.view:
            return
        heard = [m for m in self.view_changes.values() if m.view == state.view]
        count = enough(state.committee.quorum)
        if len(heard) < count:
            return
        timeouts = sorted(heard, key=lambda m: m.author)[:count]
        choose = max if highest else min
        chosen = choose(timeouts, key=lambda m: m.high.rank)
        message = NewView(
            view=state.view,
            base=chosen.high,
            timeouts=tuple(ViewChangeVote(m.author, m.high, m.signature) for m in timeouts),
            certificate=chosen.certificate,
            author=state.me,
        )
        self._opened = state.view
        state.emit(Persist(SaidNewView(message)), Say(message))

    return try_open


def _any_base_folds(*, ignored: bool = False) -> AbstractContextManager[Any]:
    """Let a journal with two bases fold, so that the bug lives on after a restart."""
    apply = Promises.apply

    def fold(self: Promises, record: Record) -> None:
        if isinstance(record, BaseAdopted):
            self.base = None if ignored else record.base
        else:
            apply(self, record)

    return patch.object(Promises, "apply", fold)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A bug, the seeds that are known to catch it, and what has to go wrong for it to do harm."""

    plant: Callable[[], Planted]
    seeds: tuple[int, ...] = (0,)
    liar: str | None = None  # None: whatever each seed draws
    faults: tuple[str, ...] | None = None  # likewise


MUTATIONS: Final[dict[str, Mutation]] = {
    "quorum one short": Mutation(quorum_one_short, (2,)),
    "lock forgotten": Mutation(lock_forgotten),
    "any certificate": Mutation(any_certificate, (0,)),
    "new-view one short": Mutation(new_view_one_short, (2,)),
    "certificates unverified": Mutation(certificates_unverified, (0,), "forges certificates"),
    "prepares across views": Mutation(prepares_across_views, (0,)),
    "votes in old view": Mutation(votes_in_old_view, (0,)),
    "sent before synced": Mutation(sent_before_synced),
    "two bases": Mutation(two_bases, (1,), "two bases"),
    "window without base": Mutation(window_without_base, (1,)),
    "fixed timeout": Mutation(fixed_timeout, (10,)),
    "dedup in one vertex": Mutation(dedup_in_one_vertex),
    "late executed": Mutation(late_executed, (1,)),
    "late lost": Mutation(late_lost, (1,)),
    "asked once": Mutation(asked_once, (4,)),
    "parent link forgotten": Mutation(parent_link_forgotten, (0,), "names wrong parent"),
    "parents not awaited": Mutation(parents_not_awaited),
    "rejoined on few": Mutation(rejoined_on_few, (5,), "attests low"),
    "base lost": Mutation(base_lost, (0,), "base to one"),
    "window after loss": Mutation(window_after_loss_shut, (3,)),
    "leader keeps batch": Mutation(batch_kept, (4,)),
    "asked above unnamed": Mutation(asked_above_unnamed, (0,), "lies in ranges"),
}
