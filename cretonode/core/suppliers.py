"""Whom to ask next: every peer that is far enough, those that failed last.

A peer that lied, stalled or trickled costs one timeout. From then on it is *doubted* while another
did better: nothing depends on it. It is left alone for a while that doubles with each failure, and
then tried with what a trusted one is asked for as well, so that its next failure costs nothing.
"""

from dataclasses import dataclass, field

from cretonode.core.state import State
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from cretonode.limits import FETCH_BYTES_MAX, FETCH_REQUESTS_ALL, FETCH_REQUESTS_MAX

FAILURES_MAX = 6  # the pause grows to at most 64 times the patience
PATIENCE_DOUBLINGS_MAX = 3
RATE_BYTES_PER_S_MIN = 1024 * 1024  # a slower answer is a trickle, unless the peer failed before
NEVER_AGO_MS = -(2**62)
SERVED_PER_FAILURE = 8  # so many good answers make up for one failure


@dataclass(slots=True)
class Record:
    """How one peer did."""

    failures: int = 0
    served: int = 0  # since the last failure was forgiven
    paused_until_ms: int = 0
    under_way: int = 0
    heard_ms: int = 0  # when something it was asked for last came
    failed_ms: int = NEVER_AGO_MS  # when it last failed


@dataclass(slots=True)
class Suppliers:
    """Bound: one record for each validator."""

    state: State
    finals: dict[ValidatorIndex, SequenceNumber]  # how far each peer says it is
    _records: dict[ValidatorIndex, Record] = field(default_factory=dict)
    _turn: int = 0

    @property
    def patience_ms(self) -> int:
        """How long silence may last after a request."""
        return 4 * self.state.timing.fetch_timeout_ms

    @property
    def silence_ms(self) -> int:
        """How long a peer may be silent: longer once all have failed, which an overload explains.

        While one does well, the others get no more time: what they owe holds up all that follows.
        """
        return self.patience_ms << min(self._failures_min(), PATIENCE_DOUBLINGS_MAX)

    def limit_ms(self, peer: ValidatorIndex, size: int) -> int:
        """How long an answer of `size` bytes may take as a whole, behind those asked for before."""
        whole_ms = self.silence_ms + size * 1000 // RATE_BYTES_PER_S_MIN
        return whole_ms * (1 + self._record(peer).under_way)

    def heard_ms(self, peer: ValidatorIndex) -> int:
        """When something that `peer` was asked for last came from it."""
        return self._record(peer).heard_ms

    def heard(self, peer: ValidatorIndex) -> None:
        """Note that something it was asked for came from `peer`."""
        self._record(peer).heard_ms = self.state.now_ms

    def is_doubted(self, peer: ValidatorIndex) -> bool:
        """True when `peer` failed more often than some other that is connected."""
        return self._record(peer).failures > self._failures_min()

    def choose(self, sequence: SequenceNumber, *, spare: int = 0) -> ValidatorIndex | None:
        """Return whom to ask for what `sequence` ordered; None while nobody is free.

        `spare`: so many more requests than usual may be under way. A doubted one is chosen only
        when no trusted one is that far: busy ones are waited for.
        """
        able = self._able(sequence)
        trusted = [peer for peer in able if not self.is_doubted(peer)]
        rested = [peer for peer in able if self._is_rested(peer)]
        # When all have failed, the way to some of them may be slow: none is given up for good.
        return self._freest(trusted or rested or able, self._requests_max(len(trusted)) + spare)

    def on_trial(self, sequence: SequenceNumber) -> ValidatorIndex | None:
        """Return a doubted peer that has rested: to be asked for what a trusted one owes, too."""
        doubted = [peer for peer in self._able(sequence) if self.is_doubted(peer)]
        return self._freest([peer for peer in doubted if self._is_rested(peer)], 1)

    def has_trusted(self, sequence: SequenceNumber) -> bool:
        """True when a peer that is not doubted says that it has what `sequence` ordered."""
        return any(not self.is_doubted(peer) for peer in self._able(sequence))

    def bytes_max(self, peer: ValidatorIndex) -> int:
        """Return how much to ask `peer` for at once: less after each failure, for a slow way."""
        return FETCH_BYTES_MAX >> self._record(peer).failures

    def asked(self, peer: ValidatorIndex) -> None:
        """Note a request; the next of equals gets the next one."""
        self._record(peer).under_way += 1
        self._turn = peer + 1

    def ended(self, peer: ValidatorIndex) -> None:
        """Note that a request is over, whatever came of it."""
        self._record(peer).under_way -= 1

    def served(self, peer: ValidatorIndex) -> None:
        """Note an answer that was whole and in time."""
        record = self._record(peer)
        record.served += 1
        if record.failures and record.served >= SERVED_PER_FAILURE:
            record.failures -= 1
            record.served = 0

    def failed(self, peer: ValidatorIndex, *, since_ms: int) -> None:
        """Note a lie, a silence or a trickle: this peer comes last for a while.

        `since_ms`: when it was asked. What it was asked before it last failed is the same failure.
        """
        record = self._record(peer)
        if since_ms <= record.failed_ms:
            return
        record.failures = min(record.failures + 1, FAILURES_MAX)
        record.served = 0
        record.failed_ms = self.state.now_ms
        record.paused_until_ms = self.state.now_ms + (self.patience_ms << record.failures)

    def next_rested_ms(self) -> int | None:
        """When the next pause of a connected peer ends."""
        pauses = [
            record.paused_until_ms
            for peer, record in self._records.items()
            if record.paused_until_ms > self.state.now_ms and peer in self.state.connected
        ]
        return min(pauses, default=None)

    def _able(self, sequence: SequenceNumber) -> list[ValidatorIndex]:
        return [p for p in sorted(self.state.connected) if self.finals.get(p, 0) >= sequence]

    def _is_rested(self, peer: ValidatorIndex) -> bool:
        return self._record(peer).paused_until_ms <= self.state.now_ms

    def _failures_min(self) -> int:
        return min((self._record(peer).failures for peer in self.state.connected), default=0)

    @staticmethod
    def _requests_max(trusted: int) -> int:
        """How many requests one peer may have under way: more when few share the work."""
        return max(FETCH_REQUESTS_MAX, FETCH_REQUESTS_ALL // max(1, trusted))

    def _freest(self, peers: list[ValidatorIndex], requests_max: int) -> ValidatorIndex | None:
        free = [peer for peer in peers if self._record(peer).under_way < requests_max]
        return min(
            free,
            key=lambda p: (
                self._record(p).failures,
                self._record(p).under_way,
                (p - self._turn) % self.state.committee.size,
            ),
            default=None,
        )

    def _record(self, peer: ValidatorIndex) -> Record:
        record = self._records.get(peer)
        if record is None:
            record = self._records[peer] = Record()
        return record
