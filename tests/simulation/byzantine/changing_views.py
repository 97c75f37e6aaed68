"""View-changes that hide, forge or contradict what their author knows; two bases for one view."""

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import ClassVar

from cretonode.core.messages import (
    Message,
    NewView,
    Position,
    Prepare,
    PrepareCertificate,
    Signed,
    Statement,
    VertexMessage,
    ViewChange,
    ViewChangeVote,
    genesis_position,
)
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import AuthorIndex, Height, SequenceNumber, ValidatorIndex, View
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting

OPENING_DELAY_MS = 120  # to hear more view-changes than needed, for a choice between bases


class LeavesViews(Behaviour):
    """Gives up the views it leads, so that there is a view-change to lie in."""

    def __init__(self, setting: Setting) -> None:
        """Draw how long it leads."""
        super().__init__(setting)
        self.leads_ms = self.rng.choice((300, 2_000, 10**9))
        self._left = View(0)  # the highest view it asked for

    def adds(self) -> list[Outgoing]:
        """Ask for the next view, for no reason."""
        view = View(self.view + 1)
        if not self.leads or view <= self._left or not self.highs:
            return []
        if self.now_ms < self.entered_ms + self.leads_ms:
            return []
        self._left = view
        high = self.highs[-1]
        message = ViewChange(view=view, high=high.position, certificate=high, author=self.me)
        return self.says(self.sign(message))


class HidesCertificate(LeavesViews):
    """Reports genesis or an old certificate instead of its highest."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Report less than is known."""
        if isinstance(statement, ViewChange) and self.highs and self.lies():
            self.acts += 1
            return self.to_all(self.older(statement))
        return super().says(statement)

    def older(self, statement: ViewChange) -> ViewChange:
        """Return a valid view-change that hides the highest certificate."""
        genesis = genesis_position(self.committee.genesis)
        stale = self.highs[-5:-1]
        certificate = self.rng.choice(stale) if stale and self.rng.random() < 0.5 else None
        high = certificate.position if certificate is not None else genesis
        return self.sign(replace(statement, high=high, certificate=certificate))


class TwoViewChanges(HidesCertificate):
    """Reports its highest certificate to one part of the others and an old one to the rest."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Report two things."""
        if isinstance(statement, ViewChange) and self.highs and self.lies():
            return self.halves(statement, self.older(statement))
        return self.to_all(statement)


class Forgets(Behaviour):
    """Loses its journal whenever it restarts, and goes on as if it had promised nothing."""

    forgets: ClassVar[bool] = True

    def __init__(self, setting: Setting) -> None:
        """Start for the first time."""
        super().__init__(setting)
        self._starts = 0

    def restarted(self) -> None:
        """Count what was forgotten."""
        self._starts += 1
        self.acts += self._starts > 1


class ForgesCertificates(LeavesViews):
    """Reports a position that nobody prepared, with signatures nobody made; then the truth.

    The position is above all others, on a branch of its own, which it shows or does not.
    """

    def __init__(self, setting: Setting) -> None:
        """Start without having seen an anchor."""
        super().__init__(setting)
        self.rate = 1.0
        self._anchors: deque[VertexMessage] = deque(maxlen=1)

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Collect anchors to lie about."""
        if isinstance(message, VertexMessage) and message.vertex.is_anchor:
            self._anchors.append(message)
        return super().hears(sender, message, now_ms)

    def says(self, statement: Statement) -> list[Outgoing]:
        """Forge first; the truth follows for some."""
        if not isinstance(statement, ViewChange) or not self._anchors or not self.lies():
            return super().says(statement)
        self.acts += 1
        beside = self._beside(self._anchors[-1])
        forged = self._forged(View(statement.view - 1), beside)
        lie = replace(statement, high=forged.position, certificate=forged)
        for peer in self.half:
            self.later(50, peer, statement)
        return self.to_all(self.sign(lie))

    def _beside(self, anchor: VertexMessage) -> Vertex:
        """Return the anchor of the sequence after, on another branch: valid, or one nobody has."""
        header = anchor.vertex
        index = AuthorIndex(header.index + 10_000)
        other = replace(header, author=self.me, index=index)
        child = replace(
            other,
            index=AuthorIndex(index + 1),
            height=Height(header.height + 1),
            sequence=SequenceNumber(header.sequence + 1),
            parents=(other.hash,),
        )
        if self.rng.random() < 0.7:
            self.keep(replace(anchor, vertex=other))
            self.keep(replace(anchor, vertex=child))
        return child

    def _forged(self, view: View, anchor: Vertex) -> PrepareCertificate:
        authors = [ValidatorIndex(i) for i in range(self.committee.quorum)]
        return PrepareCertificate(
            view=view,
            sequence=SequenceNumber(anchor.sequence),
            anchor=anchor.hash,
            votes=tuple(Signed(author, b"forged" + bytes(10)) for author in authors),
        )


class TwoBases(HidesCertificate):
    """As leader, opens one view on two bases, each proved by another choice of view-changes.

    In the view before its own it keeps its prepares to itself: while somebody is away, nobody else
    gets a certificate then. Its own view-change reports it, or hides it. Some of these liars show
    everybody the same base, and the other one to who asks again, after a restart for example.
    """

    def __init__(self, setting: Setting) -> None:
        """Start without view-changes."""
        super().__init__(setting)
        self.rate = 1.0  # there is a choice seldom enough
        self._patient = self.rng.random() < 0.5
        self._heard: defaultdict[View, dict[ValidatorIndex, ViewChange]] = defaultdict(dict)
        self._opening: tuple[int, NewView] | None = None
        self._shown: tuple[NewView, ...] = ()  # of the last view that was opened twice

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Collect view-changes."""
        if isinstance(message, ViewChange):
            self._heard[message.view][message.author] = message
        return super().hears(sender, message, now_ms)

    def says(self, statement: Statement) -> list[Outgoing]:
        """Hold the new-view back until there is a choice."""
        if isinstance(statement, ViewChange):
            self._heard[statement.view][self.me] = statement
        elif isinstance(statement, NewView) and self.lies():
            self._opening = (self.now_ms + OPENING_DELAY_MS, statement)
            return []
        elif isinstance(statement, Prepare) and self._leads_next(statement.view):
            return []
        return self.to_all(statement)

    def sends(self, peer: ValidatorIndex, message: Message) -> list[Outgoing]:
        """Show either base to who lacks one, and no certificate that others should not have."""
        if isinstance(message, NewView) and self._shown and self._shown[0].view == message.view:
            return [(peer, self.rng.choice(self._shown))]
        if isinstance(message, Prepare | PrepareCertificate) and self._leads_next(message.view):
            return []
        return super().sends(peer, message)

    def deadline_ms(self) -> int:
        """When the choice is made, too."""
        opening_ms = [self._opening[0]] if self._opening is not None else []
        return min(super().deadline_ms(), *opening_ms, 2**62)

    def adds(self) -> list[Outgoing]:
        """Open the view on the lowest and the highest base that can be proved."""
        if self._opening is None or self.now_ms < self._opening[0]:
            return super().adds()
        statement, self._opening = self._opening[1], None
        openings = sorted(self._openings(statement), key=lambda opening: opening.base.rank)
        if not openings or openings[0].base == openings[-1].base:
            return self.to_all(statement)
        low, high = self._shown = openings[0], openings[-1]
        if self._patient:
            self.acts += 1
            return self.to_all(high)
        for peer in self.peers:
            second = high if peer in self.half else low
            self.later(self.rng.choice((5, 60, 300)), peer, second)
        return self.halves(high, low)

    def _leads_next(self, view: View) -> bool:
        return self.committee.leader_of(View(view + 1)) == self.me

    def _openings(self, statement: NewView) -> Iterator[NewView]:
        """Yield each new-view that some choice of q view-changes proves."""
        heard = dict(self._heard[statement.view])
        own = heard.pop(self.me, None)
        mine = [own, self.older(own)] if own is not None and self.highs else [own]
        for variant in mine:
            messages = [*heard.values(), *([variant] if variant is not None else [])]
            for chosen in combinations(messages, self.committee.quorum):
                yield self._new_view(statement.view, chosen)

    def _new_view(self, view: View, chosen: tuple[ViewChange, ...]) -> NewView:
        ordered = sorted(chosen, key=lambda message: message.author)
        highest = max(ordered, key=lambda message: message.high.rank)
        base: Position = highest.high
        timeouts = tuple(ViewChangeVote(m.author, m.high, m.signature) for m in ordered)
        return self.sign(
            NewView(
                view=view,
                base=base,
                timeouts=timeouts,
                certificate=highest.certificate,
                author=self.me,
            )
        )


class BaseToOne(Behaviour):
    """Opens a view on two bases, one of them for a single validator.

    What it takes happens in `schemes.SecondBase`; all this liar does is to overlook anchors that
    the one was made to prepare, so that it builds on what all others have.
    """

    overlooked: ValidatorIndex | None = None  # whose anchors

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Overlook."""
        heard = super().hears(sender, message, now_ms)
        if isinstance(message, VertexMessage) and message.author == self.overlooked:
            return heard and not message.vertex.is_anchor
        return heard
