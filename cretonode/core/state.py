"""What the parts of a replica share: where it stands, and the effects of the running step."""

from dataclasses import dataclass, field
from typing import Final

from cretonode.core.committee import Committee
from cretonode.core.dedup import Dedup
from cretonode.core.effects import Effect, Halt, Persist, Send
from cretonode.core.merkle_log import MerkleLog
from cretonode.core.messages import (
    CheckpointCertificate,
    CommitCertificate,
    Evidence,
    Message,
    Position,
    PrepareCertificate,
    VertexMessage,
)
from cretonode.core.pace import Pace
from cretonode.core.records import HighCertificate, Promises
from cretonode.dag.chain import Chain
from cretonode.dag.graph import FinalVertex, Graph
from cretonode.identifiers import SequenceNumber, ValidatorIndex, View
from cretonode.limits import AMNESIAC_MS

NEVER_MS: Final = 2**62  # a deadline that does not come


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A node's own clockwork, in milliseconds. Not part of genesis: nodes may differ."""

    finality_timeout_ms: int = 500
    view_change_timeout_ms: int = 5_000
    slot_interval_ms: int = 100  # between proposals while there is much to order
    status_interval_ms: int = 250  # without progress, while anything is unfinished
    heartbeat_ms: int = 1_000  # between statuses in any case
    fetch_delay_ms: int = 60  # a missing vertex is probably on its way
    fetch_timeout_ms: int = 400
    suspect_ms: int = 1_000  # a suspicion is repeated so often and expires after twice as long


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What journal and database give back at start. The default of each is a fresh chain."""

    promises: Promises = field(default_factory=Promises)
    final: FinalVertex  # the newest final anchor; genesis on a fresh chain
    recent: tuple[FinalVertex, ...] = ()  # the last `window` sequences', and each author's newest
    pending: tuple[VertexMessage, ...] = ()  # stored and not final, parents first
    executed: tuple[
        tuple[SequenceNumber, bytes], ...
    ] = ()  # ids of the last dedup-window sequences
    log: MerkleLog = field(default_factory=MerkleLog)
    certificate: CommitCertificate | None = None  # the highest one kept
    checkpoint: CheckpointCertificate | None = None  # the newest stable one kept
    evidence: tuple[Evidence, ...] = ()  # signatures verified again


@dataclass(slots=True)
class State:
    """Shared by the parts; changed by the one each field's comment names."""

    committee: Committee
    me: ValidatorIndex
    timing: Timing
    graph: Graph
    chain: Chain  # ordering extends it, execution finalizes it
    dedup: Dedup  # execution
    log: MerkleLog  # execution
    view: View  # views, by `enter`
    base: Position | None  # views; None while the view is not open
    high: PrepareCertificate | None  # raise_high
    low: SequenceNumber  # checkpoints
    certified_view: View  # the highest view a certificate has shown to be open
    now_ms: int = 0
    progress_ms: int = 0  # when a sequence was last finalized
    behind: bool = False  # catch-up: so far that ranges are fetched; then nothing is proposed
    halted: bool = False
    amnesiac: bool = False  # amnesia: says nothing but Rejoin, and follows
    amnesiacs: dict[ValidatorIndex, int] = field(default_factory=dict)  # who asked last when, ms
    equivocators: set[ValidatorIndex] = field(default_factory=set)
    connected: set[ValidatorIndex] = field(default_factory=set)
    pace: Pace = field(init=False)  # ordering and execution measure, views judges
    effects: list[Effect] = field(default_factory=list)
    leader: ValidatorIndex = field(init=False)  # of the view this replica is in

    def __post_init__(self) -> None:
        self.leader = self.committee.leader_of(self.view)
        self.pace = Pace(self.committee, self.me, self.view)

    def enter(self, view: View) -> None:
        """Be in `view`, which is not open yet."""
        self.view = view
        self.base = None
        self.leader = self.committee.leader_of(view)

    @property
    def leads(self) -> bool:
        """True when this replica leads the view and the view is open."""
        return self.leader == self.me and self.base is not None and not self.amnesiac

    def is_amnesiac(self, validator: ValidatorIndex) -> bool:
        """True when `validator` asked for the way back not long ago, and has not voted since."""
        return self.now_ms < self.amnesiacs.get(validator, -NEVER_MS) + AMNESIAC_MS

    @property
    def final(self) -> SequenceNumber:
        """The newest final sequence."""
        return self.chain.final.sequence

    @property
    def remembered_from(self) -> SequenceNumber:
        """The lowest sequence whose final vertices are remembered.

        A window behind the stable checkpoint; while none comes, two windows behind finality.
        """
        window = self.committee.parameters.window
        return SequenceNumber(max(0, self.low - window, self.final - 2 * window))

    @property
    def peers(self) -> list[ValidatorIndex]:
        """Every other validator."""
        return [ValidatorIndex(i) for i in range(self.committee.size) if i != self.me]

    def emit(self, *effects: Effect) -> None:
        """Add to the effects of the running step. The detector bounds the accusations in them."""
        self.effects.extend(effects)

    def send(self, peer: ValidatorIndex, message: Message) -> None:
        """Send to one validator."""
        self.effects.append(Send(peer, message))

    def halt(
        self,
        cause: str,
        certificates: tuple[CommitCertificate | CheckpointCertificate, ...] = (),
    ) -> None:
        """Do nothing from now on."""
        if not self.halted:
            self.halted = True
            self.effects.append(Halt(cause, certificates))

    def raise_high(self, certificate: PrepareCertificate) -> None:
        """Journal a prepare certificate when it is above the one held; high never falls."""
        if self.high is None or certificate.position.rank > self.high.position.rank:
            self.high = certificate
            self.emit(Persist(HighCertificate(certificate)))

    def note_certified(self, view: View) -> None:
        """A certificate of `view` shows that a quorum works there."""
        self.certified_view = max(self.certified_view, view)
