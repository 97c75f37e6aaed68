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
        if len(self.own) > 2 * parameters.window // parameters.checkpoint_interval:
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
        digest = self.own.get(certificate.sequence)
        if certificate.sequence > self.state.low and digest is not None:
            self._settle(certificate, digest)

    def expect(self, certificate: CheckpointCertificate) -> None:
        """Settle as soon as the own execution is there: one step may go far beyond."""
        if certificate.sequence > self.state.final:
            self.expected[certificate.sequence] = certificate
        else:
            self.on_certificate(certificate)

    def own_vote(self, sequence: SequenceNumber) -> Checkpoint | None:
        """Return the own signed vote, for sending again."""
        return self._votes.get(sequence, {}).get(self.state.me)

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
                f"{certificate.digest.hex()}, this node to {own.hex()}"
            )
            return
        low = certificate.sequence
        self.stable = certificate
        self.state.low = low
        self.own = {s: digest for s, digest in self.own.items() if s >= low}
        self._votes = {s: votes for s, votes in self._votes.items() if s >= low}
        self.state.emit(Persist(StableCheckpoint(certificate)), Stable(certificate))
