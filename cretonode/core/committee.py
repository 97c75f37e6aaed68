"""The committee: who votes, how many votes make a quorum, and what all agreed on in genesis.

Source: Castro and Liskov, OSDI 1999 (PBFT), section 4; SPEC C2.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from cretonode.core.messages import Position, genesis_position
from cretonode.core.recovery import Recovery
from cretonode.dag.vertex import Vertex
from cretonode.errors import ConfigError
from cretonode.identifiers import (
    ChainId,
    Digest,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    View,
)
from cretonode.limits import (
    AUTHOR_UNFINAL_MAX,
    BATCH_AGE_MAX,
    BEHIND_SEQUENCES,
    CHECKPOINT_INTERVAL_DEFAULT,
    DEDUP_WINDOW_DEFAULT,
    DEDUP_WINDOW_MAX,
    HISTORY_TRANSACTIONS_MAX,
    VALIDATORS_MAX,
    WINDOW_DEFAULT,
    WINDOW_MAX,
)

THRESHOLD_DEFAULT: Final = 0.67


def faults_of(size: int) -> int:
    """Return f, the number of malicious validators that `size` validators survive."""
    return (size - 1) // 3


def quorum_of(size: int, threshold: float = THRESHOLD_DEFAULT) -> int:
    """Return q: any two quorums share an honest validator. A threshold may only raise it."""
    return max((size + faults_of(size)) // 2 + 1, int(threshold * size + 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What genesis fixes for every validator. All counts are sequences."""

    quorum_threshold: float = THRESHOLD_DEFAULT
    window: int = WINDOW_DEFAULT  # high watermark minus low watermark
    checkpoint_interval: int = CHECKPOINT_INTERVAL_DEFAULT
    dedup_window: int = DEDUP_WINDOW_DEFAULT  # within it a transaction is executed once

    @property
    def batch_age_max(self) -> int:
        """How many sequences below an anchor its transactions may have been taken at most."""
        return min(self.window, BATCH_AGE_MAX)

    @property
    def behind_sequences(self) -> int:
        """How many sequences behind ranges are fetched and no vertex is made: it would be too late
        after a dedup window in any case.
        """
        return min(BEHIND_SEQUENCES, self.dedup_window)

    def problems(self, size: int) -> list[str]:
        """Return every rule these parameters break for `size` validators, as sentences."""
        found = []
        faults = faults_of(size)
        if not 1 <= size <= VALIDATORS_MAX:
            found.append(f"{size} validators; expected 1 to {VALIDATORS_MAX}")
        if not 2 / 3 <= self.quorum_threshold <= 1:
            found.append(f"quorum_threshold is {self.quorum_threshold}; expected 2/3 to 1")
        elif quorum_of(size, self.quorum_threshold) > size - faults:
            found.append(
                f"quorum_threshold {self.quorum_threshold} asks for "
                f"{quorum_of(size, self.quorum_threshold)} of {size} votes; then {faults} silent "
                f"validators stop finality. Allowed is what asks for at most {size - faults}"
            )
        if not 2 <= self.checkpoint_interval <= WINDOW_MAX // 2:
            found.append(
                f"checkpoint_interval is {self.checkpoint_interval}; expected 2 to "
                f"{WINDOW_MAX // 2}"
            )
        elif self.window % self.checkpoint_interval or not (
            2 * self.checkpoint_interval <= self.window <= WINDOW_MAX
        ):
            found.append(
                f"window is {self.window}; expected a multiple of checkpoint_interval from "
                f"{2 * self.checkpoint_interval} to {WINDOW_MAX}"
            )
        if not self.window <= self.dedup_window <= DEDUP_WINDOW_MAX:
            found.append(
                f"dedup_window is {self.dedup_window}; expected {self.window} (window) to "
                f"{DEDUP_WINDOW_MAX}"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """The validators of one chain, by index, and the rules they share."""

    chain_id: ChainId
    size: int
    genesis: VertexHash  # hash of the genesis document: the anchor of sequence 0
    validator_set: Digest  # hash of the validators' public keys, in order
    parameters: Parameters
    incarnations: tuple[Incarnation, ...]
    recoveries: tuple[Recovery, ...] = ()  # in their order; see core.recovery
    faults: int = field(init=False, repr=False)  # f: how many malicious validators are survived
    quorum: int = field(init=False, repr=False)  # q: how many votes make a certificate
    origin: Position = field(init=False, repr=False)  # what view 0 is open on

    def __post_init__(self) -> None:
        problems = self.parameters.problems(self.size)
        if problems:
            raise ConfigError("; ".join(problems))
        # Worked out once: every step asks for them several times.
        object.__setattr__(self, "faults", faults_of(self.size))
        object.__setattr__(self, "quorum", quorum_of(self.size, self.parameters.quorum_threshold))
        last = self.recoveries[-1].position if self.recoveries else None
        object.__setattr__(self, "origin", last or genesis_position(self.genesis))
        assert len(self.incarnations) == self.size, (self.incarnations, self.size)
        assert 2 * self.quorum - self.size > self.faults, "two quorums share an honest validator"

    def incarnation_at(self, sequence: SequenceNumber, author: ValidatorIndex) -> Incarnation:
        """Return the incarnation in which `author` signed what certifies `sequence`."""
        for recovery in self.recoveries:
            if sequence <= recovery.base:
                return recovery.previous
        return self.incarnations[author]

    def is_past(self, sequence: SequenceNumber) -> bool:
        """True for what an earlier incarnation decided: nothing is voted there any more."""
        return sequence <= self.origin.sequence

    def recovered(self, recovery: Recovery) -> "Committee":
        """Return the committee as `recovery` goes on with it."""
        return replace(
            self,
            incarnations=(recovery.incarnation,) * self.size,
            recoveries=(*self.recoveries, recovery),
        )

    @property
    def history_vertices_max(self) -> int:
        """How many vertices one anchor may order: every author's unfinal ones fit twice."""
        return 2 * self.size * AUTHOR_UNFINAL_MAX

    def may_order(self, history: tuple[Vertex, ...]) -> bool:
        """True when one anchor may order `history`: a rule on anchors, the same for all."""
        transactions = sum(vertex.transaction_count for vertex in history)
        return (
            len(history) <= self.history_vertices_max and transactions <= HISTORY_TRANSACTIONS_MAX
        )

    def leader_of(self, view: View) -> ValidatorIndex:
        """Return the leader of `view`: validator `view mod n` (PBFT 4)."""
        return ValidatorIndex(view % self.size)

    def high_watermark(self, low: SequenceNumber, base: SequenceNumber) -> SequenceNumber:
        """Return the greatest sequence that may be voted on.

        Without the second term, W prepared but uncommitted anchors and one crash stall forever
        (docs/spec/models.md, l_window).
        """
        return SequenceNumber(max(low + self.parameters.window, base + 1))
