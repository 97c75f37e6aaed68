"""Evidence: two signed statements of one author that cannot both be honest.

Which pairs contradict stands here and nowhere else: the detector, the receiver of gossip and
`cretonode evidence verify` ask the same function. Signatures are not checked here.
Source: docs/spec/consensus.md, section 9.
"""

from dataclasses import replace
from typing import Final, TypeAlias

from cretonode.core.messages import (
    Attestation,
    Checkpoint,
    Commit,
    Evidence,
    NewView,
    Position,
    Prepare,
    PrePrepare,
    Rejoin,
    Statement,
    Suspect,
    VertexMessage,
    ViewChange,
    Vote,
)
from cretonode.errors import MalformedMessage
from cretonode.identifiers import short

# What `Evidence.first` is before what. A suspicion may be taken back, so it is no evidence.
KINDS: Final[tuple[type[Statement], ...]] = (
    VertexMessage,
    PrePrepare,
    Prepare,
    Commit,
    ViewChange,
    NewView,
    Checkpoint,
)
Subject: TypeAlias = tuple[str, int, int]  # kind, then view and sequence, or the index


def evidence_of(one: Statement, other: Statement) -> Evidence | None:
    """Return the evidence that two statements make, in its one order; None when they agree."""
    first, second = sorted((brief(one), brief(other)), key=_order_of)
    if first.author != second.author or contradiction(first, second) is None:
        return None
    return Evidence(first=first, second=second)


def brief(statement: Statement) -> Statement:
    """Return what the signature covers: a vertex without its payload, no certificates."""
    match statement:
        case VertexMessage():
            return replace(statement, payload=b"", transaction_ids=b"")
        case ViewChange():
            return replace(statement, certificate=None)
        case NewView():
            return replace(statement, timeouts=(), certificate=None)
        case _:
            return statement


def check_untrusted(evidence: Evidence) -> None:
    """Return when the two statements contradict, in their one order, if both are signed.

    Raises: MalformedMessage.
    """
    first, second = evidence.first, evidence.second
    if type(first) not in KINDS or type(second) not in KINDS:
        raise MalformedMessage("evidence of a statement that may be taken back")
    if first.author != second.author:
        raise MalformedMessage("evidence of statements of two authors")
    if brief(first) != first or brief(second) != second:
        raise MalformedMessage("evidence with more than its signatures cover")
    if contradiction(first, second) is None:
        raise MalformedMessage("evidence of two statements that do not contradict each other")
    if _order_of(first) >= _order_of(second):
        raise MalformedMessage("the statements of evidence in the other order")


def contradiction(first: Statement, second: Statement) -> str | None:
    """Return in what an author contradicts itself; None when an honest one may say both."""
    match first, second:
        case VertexMessage(vertex=one), VertexMessage(vertex=other):
            if one.index == other.index and one.hash != other.hash:
                return f"two vertices with index {one.index}"
        case PrePrepare() | Prepare(), PrePrepare() | Prepare():
            return _two_votes(first, second)
        case Commit(), Commit():
            return _two_votes(first, second)
        case ViewChange(), ViewChange():
            if first.view == second.view and first.high != second.high:
                return f"two positions reported in view-changes for view {first.view}"
        case NewView(), NewView():
            if first.view == second.view and first.base != second.base:
                return f"two bases of view {first.view}"
        case Checkpoint(), Checkpoint():
            if first.sequence == second.sequence and first.digest != second.digest:
                return f"two digests of sequence {first.sequence}"
        case Commit(), ViewChange():
            if hides(second, first):
                return (
                    f"a commit in view {first.view} at sequence {first.sequence}, and a "
                    f"view-change for view {second.view} that reports less"
                )
        case _:
            pass
    return None


def hides(left: ViewChange, commit: Commit) -> bool:
    """True when a view-change reports less than its author had committed to before.

    Who commits has journaled its certificate first, and the highest one never falls; after a
    view-change nothing is committed in a lower view. So no honest author ever says both.
    """
    if left.view <= commit.view:
        return False
    rank = (commit.view, commit.sequence)
    return left.high.rank < rank or (left.high.rank == rank and left.high.anchor != commit.anchor)


def subject_of(evidence: Evidence) -> Subject:
    """Return what the author contradicted itself about. One piece of evidence for each is kept."""
    first, second = evidence.first, evidence.second
    match second:
        case VertexMessage(vertex=vertex):
            return ("vertex", vertex.index, 0)
        case PrePrepare() | Prepare():
            return ("prepare", second.view, second.sequence)
        case Commit():
            return ("commit", second.view, second.sequence)
        case ViewChange():
            hidden = isinstance(first, Commit)
            return ("hidden commit" if hidden else "view-change", second.view, 0)
        case NewView():
            return ("new-view", second.view, 0)
        case Checkpoint():
            return ("checkpoint", second.sequence, 0)
        case _:
            raise AssertionError(f"no evidence: {evidence}")


def words_of(statement: Statement) -> str:
    """Return what a statement is called in prose, and in what its author signs."""
    names: dict[type[Statement], str] = {
        VertexMessage: "vertex",
        PrePrepare: "pre-prepare",
        Prepare: "prepare",
        Commit: "commit",
        ViewChange: "view-change",
        NewView: "new-view",
        Checkpoint: "checkpoint",
        Suspect: "suspect",
        Rejoin: "rejoin",
        Attestation: "attestation",
    }
    return names[type(statement)]


def described(statement: Statement) -> str:
    """Return what a statement says, in one line for people. Hashes are cut to 8 digits."""
    match statement:
        case VertexMessage(vertex=vertex):
            return f"index {vertex.index}, height {vertex.height}, hash {short(vertex.hash)}"
        case PrePrepare() | Prepare() | Commit():
            anchor = short(statement.anchor)
            return f"view {statement.view}, sequence {statement.sequence}, anchor {anchor}"
        case ViewChange():
            return f"view {statement.view}, highest {_position_words(statement.high)}"
        case NewView():
            return f"view {statement.view}, base {_position_words(statement.base)}"
        case Checkpoint():
            return f"sequence {statement.sequence}, digest {short(statement.digest)}"
        case Suspect():
            return f"view {statement.view}"
        case Rejoin():
            return f"nonce {statement.nonce.hex()[:8]}, until view {statement.until}"
        case Attestation():
            return f"about validator {statement.about}, view {statement.view}"


def _position_words(position: Position) -> str:
    if position.view < 0:
        return "genesis" if position.sequence == 0 else f"the recovery at {position.sequence}"
    return f"(view {position.view}, sequence {position.sequence}, {short(position.anchor)})"


def _two_votes(first: Vote, second: Vote) -> str | None:
    where = (first.view, first.sequence)
    if where != (second.view, second.sequence) or first.anchor == second.anchor:
        return None
    words = f"two {words_of(second)}s"
    if type(first) is not type(second):
        words = f"a {words_of(first)} and another {words_of(second)}"
    return f"{words} for view {first.view}, sequence {first.sequence}"


def _order_of(statement: Statement) -> tuple[int, tuple[int, int], bytes]:
    """What orders the two: the kind, then what they state."""
    none = (0, 0)
    match statement:
        case VertexMessage(vertex=vertex):
            return (0, none, vertex.hash)
        case PrePrepare():
            return (1, none, statement.anchor)
        case Prepare():
            return (2, none, statement.anchor)
        case Commit():
            return (3, none, statement.anchor)
        case ViewChange(high=high):
            return (4, high.rank, high.anchor)
        case NewView(base=base):
            return (5, base.rank, base.anchor)
        case Checkpoint():
            return (6, none, statement.digest)
        case _:
            return (7, none, b"")
