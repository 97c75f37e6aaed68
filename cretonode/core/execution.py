"""Finality: a commit certificate orders an anchor's history, exactly once, on every replica.

Owns the commit certificates that wait for their anchors, the Merkle log and the dedup window.
Source: DESIGN section 2, Phases and Checkpoints.
"""

from dataclasses import dataclass, field

from cretonode.core.checkpoint import Checkpoints
from cretonode.core.dedup import all_skipped, bitmap_bytes, reference_of
from cretonode.core.effects import Accuse, Finalize, Retake
from cretonode.core.intake import Intake
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import Commit, CommitCertificate
from cretonode.core.state import State
from cretonode.crypto.canonical import encode
from cretonode.crypto.hashing import hash_of
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, VertexHash


@dataclass(frozen=True, slots=True)
class Proven:
    """An anchor that a certificate above fixes through first parents, or its own does."""

    anchor: VertexHash
    certificate: CommitCertificate | None


@dataclass(slots=True)
class Execution:
    """Certificates above the final sequence: the highest, and those inside the window."""

    state: State
    intake: Intake
    checkpoints: Checkpoints
    latest: CommitCertificate | None = None  # the highest one executed
    waiting: dict[SequenceNumber, CommitCertificate] = field(default_factory=dict)
    anchors: dict[SequenceNumber, VertexHash] = field(default_factory=dict)  # final, recent
    # Certified from above through hashes: final as soon as they are here. Filled by catch-up.
    proven: dict[SequenceNumber, Proven] = field(default_factory=dict)

    def learn(self, certificate: CommitCertificate) -> None:
        """Take a valid commit certificate of any view."""
        state = self.state
        if not state.committee.is_past(certificate.sequence):
            state.note_certified(certificate.view)  # views count anew in each incarnation
        if certificate.sequence <= state.final:
            self._check_agrees(certificate)
            return
        first = self.waiting.setdefault(certificate.sequence, certificate)
        if first.anchor != certificate.anchor:
            self._halt((first, certificate))
            return
        parameters = state.committee.parameters
        most = parameters.behind_sequences if state.behind else 2 * parameters.window
        while len(self.waiting) > most:
            # Any one above will do: the chain covers what is below it.
            del self.waiting[min(self.waiting)]

    def highest(self) -> CommitCertificate | None:
        """Return the highest certificate known and not executed."""
        return self.waiting[max(self.waiting)] if self.waiting else None

    def advance(self) -> None:
        """Finalize up to the highest certificate whose anchor is here with all its ancestors."""
        if not self.waiting and not self.proven:
            return
        for sequence in sorted(self.waiting, reverse=True):
            anchor = self.state.graph.admitted.get(self.waiting[sequence].anchor)
            if anchor is not None:
                self._finalize_to(anchor)
                return
        # One by one, so that a long way is made in small steps, and none of it twice.
        while (proven := self.proven.get(SequenceNumber(self.state.final + 1))) is not None:
            anchor = self.state.graph.admitted.get(proven.anchor)
            if anchor is None or self.state.halted:
                return
            self._finalize_to(anchor)

    def newest_certificate(self) -> CommitCertificate | None:
        """Return the highest certificate known, executed or not: what a peer behind is shown."""
        return self.highest() or self.latest

    def _finalize_to(self, anchor: Vertex) -> None:
        path = path_from_final(self.state, anchor)
        if path is None:
            known = (self.latest,) if self.latest is not None else ()
            certified = [c for s, c in self.waiting.items() if s == anchor.sequence]
            self.state.halt(
                f"a commit certificate for sequence {anchor.sequence} contradicts the own final "
                f"anchor of sequence {self.state.final}: more than f validators lied",
                (*known, *certified),
            )
            return
        follow(self.state, path)
        for _ in path:
            self._finalize_lowest()

    def _finalize_lowest(self) -> None:
        state = self.state
        link = state.chain.finalize_lowest()
        sequence = link.anchor.sequence
        state.dedup.begin(sequence)
        own_ms, others_ms = self.intake.waits_ms(link.history, leader=link.anchor.author)
        state.pace.on_final(
            sequence,
            state.now_ms,
            own_ms=own_ms,
            others_ms=others_ms,
            limit_ms=state.timing.finality_timeout_ms,
        )
        skipped: list[int] = []
        ids: list[bytes] = []
        retakes: list[Retake] = []
        for position, vertex in enumerate(link.history):
            ids.append(self.intake.finalized(vertex))
            since = self._reference(vertex)
            if state.dedup.reaches(since):
                bitmap = state.dedup.execute(ids[-1])
            else:
                bitmap = all_skipped(vertex.transaction_count)
                if vertex.author == state.me and bitmap:
                    retakes.append(Retake(vertex.hash, since))
            skipped.append(bitmap)
            state.log.append(log_leaf(sequence, position, vertex.hash, bitmap))
        self.anchors[sequence] = link.anchor.hash
        proven = self.proven.pop(sequence, None)
        certificate = self.waiting.pop(sequence, None)
        if certificate is None and proven is not None:
            certificate = proven.certificate
        self.latest = certificate or self.latest
        state.progress_ms = state.now_ms
        state.emit(
            Finalize(
                sequence=sequence,
                anchor=link.anchor,
                vertices=link.history,
                skipped=tuple(skipped),
                transaction_ids=tuple(ids),
                log=MerkleLog(state.log.size, state.log.peaks),
                certificate=certificate,
                retakes=tuple(retakes),
            )
        )
        self.checkpoints.executed(sequence)

    def _reference(self, vertex: Vertex) -> SequenceNumber:
        """See `reference_of`. Parents of what was not final are remembered."""
        named = self.state.graph.final[vertex.parents[-1]].sequence
        return reference_of(vertex, named, self.state.committee.parameters)

    def forget(self, below: SequenceNumber) -> None:
        """Drop the final anchors below `below`."""
        self.anchors = {s: anchor for s, anchor in self.anchors.items() if s >= below}

    def _check_agrees(self, certificate: CommitCertificate) -> None:
        sequence, anchor = certificate.sequence, certificate.anchor
        known = self.anchors.get(sequence, anchor)
        if known == anchor:
            return
        if self.latest is not None and self.latest.sequence == sequence:
            self._halt((self.latest, certificate))
            return
        self.state.halt(
            f"two anchors are certified at sequence {sequence}, {known.hex()} here and "
            f"{anchor.hex()}: more than f validators lied",
            (certificate,),
        )

    def _halt(self, certificates: tuple[CommitCertificate, CommitCertificate]) -> None:
        """Halt for two certificates of one sequence; who signed both in one view is accused."""
        first, second = certificates
        if first.view == second.view and not self.state.committee.is_past(first.sequence):
            again = {commit.author: commit for commit in commits_of(second)}
            for commit in commits_of(first):
                if commit.author in again:
                    self.state.emit(Accuse(commit.author, commit, again[commit.author]))
        said = " and ".join(
            f"{c.anchor.hex()} in view {c.view} by validators {[v.author for v in c.votes]}"
            for c in certificates
        )
        self.state.halt(
            f"two anchors are certified at sequence {first.sequence}: {said}; more than f lied",
            certificates,
        )


def commits_of(certificate: CommitCertificate) -> list[Commit]:
    """Return the votes of a certificate, each as its author signed it."""
    return [
        Commit(
            view=certificate.view,
            sequence=certificate.sequence,
            anchor=certificate.anchor,
            author=vote.author,
            signature=vote.signature,
        )
        for vote in certificate.votes
    ]


def path_from_final(state: State, anchor: Vertex) -> list[Vertex] | None:
    """Return the anchors above the final one up to `anchor`, lowest first.

    None: the first parents of `anchor` do not lead to the own final anchor.
    """
    path = [anchor]
    while path[-1].parents[0] != state.chain.final.hash:
        parent = state.graph.admitted.get(path[-1].parents[0])
        if parent is None or parent.sequence <= state.final:
            return None
        path.append(parent)
    path.reverse()
    return path


def follow(state: State, path: list[Vertex]) -> None:
    """Make the chain above the final anchor run along `path`; what agrees already stays."""
    for anchor in path:
        if state.chain.at(anchor.sequence) != anchor.hash:
            state.chain.cut(SequenceNumber(anchor.sequence - 1))
            state.chain.extend(state.chain.link(anchor))


def log_leaf(sequence: SequenceNumber, position: int, vertex: VertexHash, skipped: int) -> bytes:
    """Return the entry of the Merkle log for one executed vertex."""
    return encode([sequence, position, vertex, hash_of(bitmap_bytes(skipped))])
