"""Checkpoints: every K sequences a signed digest of everything executed; q of them are stable.

Owns the votes above the low watermark. A stable checkpoint moves the window and lets the log be
garbage-collected. Source: Castro and Liskov, OSDI 1999 (PBFT), section 4.3.
"""

from dataclasses import dataclass, field

from cretonode.core.effects import Accuse, Persist, Say, Stable
from cretonode.core.messages import Checkpoint, CheckpointCertificate, Signed
from cretonode.core.records import SaidCheckpoint, StableCheckpoint
from cretonode.core.state import State
from cretonode.identifiers import Digest, SequenceNumber, ValidatorIndex


@dataclass(slots=True)
class Checkpoints:
    """Who stated which digest. Bound: 2 W / K sequences above the low watermark, n votes each, and
    as many own digests: the newest, when none becomes stable for long. `expected` is filled and
    emptied by catch-up: one of each range that is certified and not executed.
    """

    state: State
    own: dict[SequenceNumber, Digest] = field(default_factory=dict)
    stable: CheckpointCertificate | None = None
    expected: dict[SequenceNumber, CheckpointCertificate] = field(default_factory=dict)
    _votes: dict[SequenceNumber, dict[ValidatorIndex, Checkpoint]] = field(default_factory=dict)

    def executed(self, sequence: SequenceNumber) -> None:
        """State the digest when `sequence` is a checkpoint, and not one of an incarnation past."""
        committee = self.state.committee
        if sequence == committee.origin.sequence:
            self.state.low = max(self.state.low, sequence)  # q validators stopped there
        if sequence % self.state.committee.parameters.checkpoint_interval:
            return
        digest = self.state.log.root()
        stated = self.own.setdefault(sequence, digest)
        if stated != digest:
            self.state.halt(f"sequence {sequence} executed to another digest than before")
            return
        parameters = self.state.committee.parameters
        while len(self.own) > 2 * parameters.window // parameters.checkpoint_interval:
            del self.own[min(self.own)]
        if not committee.is_past(sequence):
            self._say(sequence, digest)
        expected = self.expected.pop(sequence, None)
        if expected is not None and sequence > self.state.low:
            self._settle(expected, digest)
        self._try_stable(sequence)

    def _say(self, sequence: SequenceNumber, digest: Digest) -> None:
        self.state.emit(Persist(SaidCheckpoint(sequence, digest)))
        if not self.state.amnesiac:
            self.state.emit(Say(Checkpoint(sequence=sequence, digest=digest, author=self.state.me)))

    def on_checkpoint(self, message: Checkpoint) -> None:
        """Count a vote."""
        parameters = self.state.committee.parameters
        above = message.sequence - self.state.low
        if not 0 < above <= 2 * parameters.window:
            return
        if message.sequence % parameters.checkpoint_interval:
            return
        votes = self._votes.setdefault(message.sequence, {})
        first = votes.setdefault(message.author, message)
        if first.digest != message.digest:
            self.state.equivocators.add(message.author)
            self.state.emit(Accuse(message.author, first, message))
            return
        self._try_stable(message.sequence)

    def on_certificate(self, certificate: CheckpointCertificate) -> None:
        """Take a stable checkpoint from a peer, once executed this far."""
        if not self._agrees(certificate):
            return
        digest = self.own.get(certificate.sequence)
        if certificate.sequence > self.state.low and digest is not None:
            self._settle(certificate, digest)

    def expect(self, certificate: CheckpointCertificate) -> None:
        """Settle as soon as the own execution is there: one step may go far beyond."""
        if certificate.sequence <= self.state.final:
            self.on_certificate(certificate)
        elif self._agrees(certificate):
            self.expected[certificate.sequence] = certificate

    def own_vote(self, sequence: SequenceNumber) -> Checkpoint | None:
        """Return the own signed vote, for sending again."""
        return self._votes.get(sequence, {}).get(self.state.me)

    def _agrees(self, certificate: CheckpointCertificate) -> bool:
        """Halt when another certificate of this sequence is known: then more than f lied.

        Whoever signed both is accused.
        """
        known = self.expected.get(certificate.sequence, self.stable)
        if known is None or known.sequence != certificate.sequence:
            return True
        if known.digest == certificate.digest:
            return True
        again = {vote.author: vote for vote in votes_of(certificate)}
        for vote in votes_of(known):
            if vote.author in again:
                self.state.emit(Accuse(vote.author, vote, again[vote.author]))
        said = " and ".join(
            f"{c.digest.hex()} by validators {[v.author for v in c.votes]}"
            for c in (known, certificate)
        )
        self.state.halt(
            f"two digests are certified for the checkpoint of sequence {certificate.sequence}: "
            f"{said}; more than f lied",
            (known, certificate),
        )
        return False

    def _try_stable(self, sequence: SequenceNumber) -> None:
        digest = self.own.get(sequence)
        votes = self._votes.get(sequence, {})
        if digest is None or sequence <= self.state.low:
            return
        for stated in {vote.digest for vote in votes.values()}:
            agreed = sorted(a for a, vote in votes.items() if vote.digest == stated)
            if len(agreed) >= self.state.committee.quorum:
                signed = tuple(
                    Signed(author, votes[author].signature)
                    for author in agreed[: self.state.committee.quorum]
                )
                certificate = CheckpointCertificate(sequence=sequence, digest=stated, votes=signed)
                self._settle(certificate, digest)
                return

    def _settle(self, certificate: CheckpointCertificate, own: Digest) -> None:
        if certificate.digest != own:
            self.state.halt(
                f"a quorum executed up to sequence {certificate.sequence} to digest "
                f"{certificate.digest.hex()}, this node to {own.hex()}",
                (certificate,),
            )
            return
        low = certificate.sequence
        self.stable = certificate
        self.state.low = low
        self.own = {s: digest for s, digest in self.own.items() if s >= low}
        self._votes = {s: votes for s, votes in self._votes.items() if s >= low}
        self.state.emit(Persist(StableCheckpoint(certificate)), Stable(certificate))


def votes_of(certificate: CheckpointCertificate) -> list[Checkpoint]:
    """Return the votes of a certificate, each as its author signed it."""
    return [
        Checkpoint(
            sequence=certificate.sequence,
            digest=certificate.digest,
            author=vote.author,
            signature=vote.signature,
        )
        for vote in certificate.votes
    ]
