"""Who contradicted itself: a pure judgement over everything that honest nodes have heard.

It stands in for nodes that exchange all they have. Certificates are taken apart into the statements
that their signatures vouch for, and pairs that no honest validator makes are looked for.
Source: DESIGN section 2, Detector and accountability; Sheng et al., "BFT Protocol Forensics", CCS
2021, for why a fork across views shows in commits against later view-changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from cretonode.core.committee import Committee
from cretonode.core.messages import (
    Commit,
    CommitCertificate,
    Message,
    NewView,
    Position,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    VertexMessage,
    ViewChange,
)
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View

Slot = tuple[object, ...]
Left = tuple[View, Position]  # a view-change: for which view, and its author's highest position


def culprits_of(committee: Committee, heard: Iterable[Message]) -> set[ValidatorIndex]:
    """Return the authors of statements that contradict each other."""
    said: dict[Slot, object] = {}
    found: set[ValidatorIndex] = set()
    committed: defaultdict[ValidatorIndex, set[tuple[View, SequenceNumber]]] = defaultdict(set)
    left: defaultdict[ValidatorIndex, set[Left]] = defaultdict(set)
    for message in heard:
        for author, slot, value in _statements(committee, message):
            if said.setdefault((author, *slot), value) != value:
                found.add(author)
            match slot:
                case ("commit", view, sequence):
                    committed[author].add((View(view), SequenceNumber(sequence)))
                case ("view-change", view):
                    assert isinstance(value, Position)
                    left[author].add((View(view), value))
    found.update(a for a in committed if _hides(committed[a], left[a]))
    return found


def _hides(committed: set[tuple[View, SequenceNumber]], left: set[Left]) -> bool:
    """True when a view-change reports less than its author had committed in a lower view."""
    return any(
        view < later and high.rank < (view, sequence)
        for later, high in left
        for view, sequence in committed
    )


def _statements(
    committee: Committee, message: Message
) -> Iterator[tuple[ValidatorIndex, tuple[str | int, ...], object]]:
    """Yield (author, slot, value) of every statement that the signatures in `message` make."""
    match message:
        case VertexMessage(vertex=vertex):
            yield vertex.author, ("vertex", vertex.index), vertex.hash
        case PrePrepare() | Prepare():  # a pre-prepare is its author's prepare
            yield message.author, ("prepare", message.view, message.sequence), message.anchor
        case Commit():
            yield message.author, ("commit", message.view, message.sequence), message.anchor
        case PrepareCertificate(view=view, sequence=sequence, anchor=anchor):
            for vote in message.votes:
                yield vote.author, ("prepare", view, sequence), anchor
        case CommitCertificate(view=view, sequence=sequence, anchor=anchor):
            for vote in message.votes:
                yield vote.author, ("commit", view, sequence), anchor
        case ViewChange():
            yield message.author, ("view-change", message.view), message.high
            if message.certificate is not None:
                yield from _statements(committee, message.certificate)
        case NewView(view=view):
            yield message.author, ("new-view", view), message.base
            for timeout in message.timeouts:
                yield timeout.author, ("view-change", view), timeout.high
            if message.certificate is not None:
                yield from _statements(committee, message.certificate)
        case _:
            pass
