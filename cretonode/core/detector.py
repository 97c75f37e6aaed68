"""The detector: what validators signed, kept long enough to notice a contradiction.

It sees every verified message before the parts do, takes certificates apart, and turns what it and
the parts find into evidence, once for each subject. Evidence is sent to everybody when it is made
or first heard, and to a peer when it connects. It travels only after it was verified, so whoever
sends false evidence made it: an honest validator can be neither named nor framed as its relay.
Source: docs/spec/consensus.md, section 9.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cretonode.core.checkpoint import votes_of
from cretonode.core.effects import Accuse, Effect, Late, Send
from cretonode.core.evidence import Subject, brief, evidence_of, hides, subject_of
from cretonode.core.execution import Execution
from cretonode.core.intake import Intake
from cretonode.core.messages import (
    Checkpoint,
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Evidence,
    Message,
    NewView,
    Prepare,
    PrepareCertificate,
    PrePrepare,
    Statement,
    ViewChange,
    Vote,
)
from cretonode.core.state import State
from cretonode.core.views import Views
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View
from cretonode.limits import (
    DETECTOR_CHECKPOINTS_MAX,
    DETECTOR_VIEWS_MAX,
    DETECTOR_VOTES_MAX,
    DETECTOR_VOTES_MIN,
    EVIDENCE_PER_AUTHOR_MAX,
)

LOOK_MS: Final = 100  # between looks at how long vertices wait

K = TypeVar("K")
S = TypeVar("S", bound=Statement)


@dataclass(slots=True)
class Heard:
    """What one author signed, the newest of it."""

    # (is a commit, view, sequence); a pre-prepare is a prepare here
    votes: OrderedDict[tuple[bool, View, SequenceNumber], Vote] = field(default_factory=OrderedDict)
    commits: dict[View, Commit] = field(default_factory=dict)  # the highest of each view
    view_changes: dict[View, ViewChange] = field(default_factory=dict)
    new_views: dict[View, NewView] = field(default_factory=dict)
    checkpoints: dict[SequenceNumber, Checkpoint] = field(default_factory=dict)


@dataclass(slots=True)
class Detector:
    """Bound: of each author a number of statements of each kind, and of evidence."""

    state: State
    intake: Intake
    execution: Execution
    views: Views
    evidence: dict[ValidatorIndex, dict[Subject, Evidence]] = field(default_factory=dict)
    _heard: dict[ValidatorIndex, Heard] = field(default_factory=dict)
    _votes_max: int = 0
    _look_at_ms: int = 0
    _late_ms: int = 0  # when the leader was last noted as late

    def __post_init__(self) -> None:
        size = self.state.committee.size
        self._heard = {ValidatorIndex(i): Heard() for i in range(size)}
        self._votes_max = max(DETECTOR_VOTES_MIN, DETECTOR_VOTES_MAX // size)

    def restore(self, evidence: tuple[Evidence, ...]) -> None:
        """Take up what the database kept; its signatures were verified again."""
        for piece in evidence:
            self._keep(piece)

    # --- what is heard

    def observe(self, sender: ValidatorIndex, message: Message) -> None:
        """Compare every statement in a verified message with what its author said before."""
        if sender == self.state.me or self._is_past(message):
            return
        match message:
            case PrePrepare() | Prepare() | Commit():
                if message.view <= self.state.view + 1:  # no certificate vouches for the view
                    self._note_vote(message)
            case PrepareCertificate() | CommitCertificate():
                self._note_certificate(message)
            case ViewChange(certificate=certificate):
                self._note_view_change(message)
                if certificate is not None:
                    self._note_certificate(certificate)
            case NewView():
                self._note_new_view(message)
            case Checkpoint():
                self._note_checkpoint(message)
            case CheckpointCertificate():
                for vote in votes_of(message):
                    self._note_checkpoint(vote)
            case _:
                pass

    def _is_past(self, message: Message) -> bool:
        """True for certificates of an earlier incarnation, whose views this one counts anew."""
        if isinstance(message, CommitCertificate | CheckpointCertificate):
            return self.state.committee.is_past(message.sequence)
        return False

    def on_evidence(self, message: Evidence) -> None:
        """Believe evidence of a peer: both signatures were verified."""
        self._accuse(message.first, message.second)

    def on_connected(self, peer: ValidatorIndex) -> None:
        """Send one piece of evidence of each culprit: what it takes to judge alike."""
        for author, pieces in sorted(self.evidence.items()):
            if author not in (peer, self.state.me):
                self.state.send(peer, next(iter(pieces.values())))

    # --- what follows

    def advance(self) -> None:
        """Note a leader that keeps vertices waiting while it could do better."""
        state = self.state
        if state.now_ms < self._look_at_ms:
            return
        self._look_at_ms = state.now_ms + LOOK_MS
        oldest_ms = self.intake.oldest_ms()
        if oldest_ms is None or not self._leader_can():
            return
        since_ms = max(oldest_ms, self.views.entered_ms, self._late_ms)
        if state.now_ms - since_ms >= state.timing.finality_timeout_ms:
            self._late_ms = state.now_ms
            state.emit(Late(state.leader, state.now_ms - oldest_ms))

    def judge(self, effects: list[Effect]) -> list[Effect]:
        """Let one accusation for each subject pass, and send its evidence behind it."""
        if not any(isinstance(effect, Accuse) for effect in effects):
            return effects
        judged: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, Accuse):
                judged.append(effect)
                continue
            evidence = evidence_of(effect.first, effect.second)
            if evidence is not None and self._keep(evidence):
                judged.append(effect)
                judged += self._gossip(evidence)
        return judged

    # --- noting

    def _note_vote(self, vote: Vote) -> None:
        if vote.author == self.state.me:
            return
        heard = self._heard[vote.author]
        is_commit = isinstance(vote, Commit)
        key = (is_commit, vote.view, vote.sequence)
        first = heard.votes.setdefault(key, vote)
        if first is vote:
            if len(heard.votes) > self._votes_max:
                heard.votes.popitem(last=False)
            if isinstance(vote, Commit):
                self._note_commit(heard, vote)
        elif first.anchor != vote.anchor:
            self._accuse(first, vote)

    def _note_certificate(self, certificate: PrepareCertificate | CommitCertificate) -> None:
        view, sequence, anchor = certificate.view, certificate.sequence, certificate.anchor
        is_commit = isinstance(certificate, CommitCertificate)
        leader = self.state.committee.leader_of(view)
        for signed in certificate.votes:
            known = self._heard[signed.author].votes.get((is_commit, view, sequence))
            if known is not None and known.anchor == anchor:
                continue
            kind: type[Vote] = PrePrepare if signed.author == leader else Prepare
            self._note_vote(
                (Commit if is_commit else kind)(
                    view=view,
                    sequence=sequence,
                    anchor=anchor,
                    author=signed.author,
                    signature=signed.signature,
                )
            )

    def _note_commit(self, heard: Heard, commit: Commit) -> None:
        """Keep the highest commit of a view: what a later view-change must not hide."""
        known = heard.commits.get(commit.view)
        if known is not None and known.sequence >= commit.sequence:
            return
        heard.commits[commit.view] = commit
        _bound(heard.commits, DETECTOR_VIEWS_MAX, lowest=min)
        for left in heard.view_changes.values():
            if hides(left, commit):
                self._accuse(commit, left)
                return

    def _note_view_change(self, message: ViewChange) -> None:
        if message.author == self.state.me:
            return
        heard = self._heard[message.author]
        known = heard.view_changes.get(message.view)
        if known is not None:
            if known.high != message.high:
                self._accuse(known, message)
            return
        heard.view_changes[message.view] = _brief(message)
        _bound(heard.view_changes, DETECTOR_VIEWS_MAX, lowest=_oldest)
        for commit in heard.commits.values():
            if hides(message, commit):
                self._accuse(commit, message)
                return

    def _note_new_view(self, message: NewView) -> None:
        for vote in message.timeouts:
            self._note_view_change(
                ViewChange(
                    view=message.view,
                    high=vote.high,
                    certificate=None,
                    author=vote.author,
                    signature=vote.signature,
                )
            )
        if message.certificate is not None:
            self._note_certificate(message.certificate)
        if message.author == self.state.me:
            return
        opened = self._heard[message.author].new_views
        first = opened.setdefault(message.view, _brief(message))
        if first.base != message.base:
            self._accuse(first, message)
        _bound(opened, DETECTOR_VIEWS_MAX, lowest=_oldest)

    def _note_checkpoint(self, message: Checkpoint) -> None:
        if message.author == self.state.me:
            return
        stated = self._heard[message.author].checkpoints
        first = stated.setdefault(message.sequence, message)
        if first.digest != message.digest:
            self._accuse(first, message)
        _bound(stated, DETECTOR_CHECKPOINTS_MAX, lowest=_oldest)

    # --- evidence

    def _accuse(self, first: Statement, second: Statement) -> None:
        self.state.equivocators.add(first.author)
        self.state.emit(Accuse(first.author, first, second))

    def _keep(self, evidence: Evidence) -> bool:
        """Keep evidence, unless there is some of this subject or enough of its author."""
        author = evidence.author
        pieces = self.evidence.setdefault(author, {})
        subject = subject_of(evidence)
        if subject in pieces or len(pieces) >= EVIDENCE_PER_AUTHOR_MAX:
            return False
        pieces[subject] = evidence
        self.state.equivocators.add(author)
        return True

    def _gossip(self, evidence: Evidence) -> list[Effect]:
        state = self.state
        if evidence.author == state.me:
            return []
        told = sorted(state.connected - {evidence.author})
        return [Send(peer, evidence) for peer in told]

    def _leader_can(self) -> bool:
        """True when nothing known but the leader itself keeps it from ordering."""
        state = self.state
        return (
            state.base is not None
            and state.leader != state.me
            and state.leader in state.connected
            and len(state.connected) + 1 >= state.committee.quorum
            and not self.execution.waiting  # else this replica is behind
        )


def _brief(statement: S) -> S:
    short = brief(statement)
    assert isinstance(short, type(statement))
    return short


def _oldest(kept: dict[K, S]) -> K:
    return next(iter(kept))


def _bound(kept: dict[K, S], high: int, *, lowest: Callable[[dict[K, S]], K]) -> None:
    if len(kept) > high:
        del kept[lowest(kept)]
