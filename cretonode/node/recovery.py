"""Recovery, offline: what this node has, checking what others propose, signing, and applying.

Each step works on the data directory of a stopped node and holds its lock. Blocks.
Source: docs/spec/durability.md, section 11; docs/recover.md.
"""

import secrets
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cretonode.config.genesis import Genesis
from cretonode.config.schema import Config
from cretonode.core.amnesia import can_rejoin
from cretonode.core.certificate import check_shape_untrusted
from cretonode.core.committee import Committee
from cretonode.core.messages import Certificate, Signed
from cretonode.core.records import AmnesiaBegun, Promises, Record, StableCheckpoint, fold
from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import JournalState, Plan, Proposal
from cretonode.core.statements import claims_of, recovery_claims, recovery_statement
from cretonode.crypto.hashing import hash_of
from cretonode.crypto.signatures import Signer, VerifyingKey
from cretonode.dag.vertex import Vertex
from cretonode.errors import BadSignature, ConfigError, MalformedMessage
from cretonode.identifiers import (
    Digest,
    Incarnation,
    SequenceNumber,
    ValidatorIndex,
    VertexHash,
    short,
)
from cretonode.node.disk import NONCE_BYTES, in_incarnation, options_of
from cretonode.node.node import Identity as NodeIdentity
from cretonode.node.node import identify
from cretonode.storage.datadir import DataDirectory, open_data_directory
from cretonode.storage.errors import (
    JournalDamaged,
    JournalForeign,
    JournalMissing,
    JournalOutdated,
)
from cretonode.storage.identity import Identity
from cretonode.storage.journal import JournalMarker
from cretonode.storage.lock import lock_directory
from cretonode.storage.reader import Reader
from cretonode.storage.renewal import finish_renewal, renew_journal
from cretonode.storage.restore import read_pending
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.store import Store, open_store
from cretonode.wire.records import decode_record, encode_record
from cretonode.wire.recovery import ANCHORS_MAX, encode_proposal

COUNTED_SLOTS_MAX: Final = 10_000  # whose transactions are counted for a sentence


@dataclass(frozen=True, slots=True)
class StoppedNode:
    """A node that does not run, its directory locked and its database open."""

    identity: NodeIdentity
    committee: Committee  # in the incarnation that the database has entered
    directory: DataDirectory
    store: Store

    @property
    def me(self) -> ValidatorIndex:
        """The index of this validator."""
        return self.identity.me

    def signer(self) -> Signer:
        """Return what signs with this validator's own key."""
        return Signer(self.identity.genesis.crypto_mode, self.identity.secret)


@contextmanager
def open_stopped(config: Config) -> Generator[StoppedNode]:
    """Yield a node that does not run. Raises: ConfigError, LockHeld, StorageError."""
    identity = identify(config, step=nullcontext)  # nothing is started, so nothing is logged
    genesis = identity.genesis
    owner = Identity(genesis.chain_id, genesis.hash, identity.secret.node_id)
    directory = open_data_directory(Path(config.node.data_dir), owner)
    with ExitStack() as stack:
        stack.enter_context(lock_directory(directory.path))
        backend = RocksBackend(Path(config.storage.path), options_of(config.storage))
        stack.callback(backend.close)
        store = open_store(backend, owner, genesis.parameters)
        committee = in_incarnation(genesis.committee(), store)
        incarnation = committee.incarnations[identity.me]
        finish_renewal(directory, incarnation, store.journal_marker())
        yield StoppedNode(identity, committee, directory, store)


# --- proposing


def propose(node: StoppedNode) -> Proposal:
    """Return what this node has, signed."""
    genesis = node.identity.genesis
    said = survey(node)
    data = encode_proposal(genesis.chain_id, genesis.hash, said)
    return replace(said, signature=node.signer().sign(data))


def survey(node: StoppedNode) -> Proposal:
    """Return what this node has, unsigned."""
    store = node.store
    journal, promises = _read_journal(node)
    final = store.final_sequence()
    slot = store.get_finalized(final)
    certificate = store.highest_certificate()
    promised = store.promised()
    anchors = sorted(
        _held_anchors(
            store, node.committee.genesis, certificate.sequence if certificate is not None else 1
        ),
        key=lambda vertex: (vertex.sequence, vertex.hash),
    )
    return Proposal(
        author=node.me,
        recoveries=store.recoveries(),
        promised=promised[0] if promised is not None else Incarnation(0),
        journal=journal,
        final=final,
        anchor=slot.anchor if slot is not None else node.committee.genesis,
        certificate=certificate,
        checkpoint=store.newest_checkpoint(),
        high=promises.high,
        anchors=tuple(anchors[-ANCHORS_MAX:]),
    )


def _read_journal(node: StoppedNode) -> tuple[JournalState, Promises]:
    """Return what the journal can say; of one that cannot vouch for anything, nothing."""
    incarnation = node.committee.incarnations[node.me]
    try:
        opened = node.directory.open_journal(incarnation, at_least=node.store.journal_marker())
    except (JournalMissing, JournalDamaged, JournalOutdated):
        return JournalState.LOST, Promises()
    opened.journal.close()
    promises = fold(decode_record(record) for record in opened.records)
    if promises.amnesia is not None:
        return JournalState.LOST, promises  # what it learned since is certified all the same
    if promises.high is None and not promises.accepted:
        return JournalState.EMPTY, promises
    return JournalState.WHOLE, promises


def _held_anchors(store: Reader, genesis: VertexHash, first: int) -> Iterator[Vertex]:
    """Yield the anchors from a sequence on that are on disk with everything they stand on."""
    final = store.final_sequence()
    for slot in store.finalized_range(SequenceNumber(first), final):
        stored = store.get_vertex(slot.anchor)
        if stored is not None:
            yield stored.vertex
    pending = [message.vertex for message in read_pending(store)]  # parents before children
    named = sorted({parent for vertex in pending for parent in vertex.parents})
    held: set[VertexHash] = {genesis, *(vertex.hash for vertex in store.lookup(named)[0])}
    for vertex in pending:
        if held.issuperset(vertex.parents):
            held.add(vertex.hash)
            if vertex.is_anchor:
                yield vertex


# --- checking


@dataclass(frozen=True, slots=True)
class Checker:
    """Verifies recoveries and proposals with a genesis document alone."""

    genesis: Genesis
    keys: tuple[VerifyingKey, ...]

    @classmethod
    def of(cls, genesis: Genesis) -> "Checker":
        """Return the checker of a chain."""
        return cls(genesis, tuple(VerifyingKey(v.public_key) for v in genesis.validators))

    def committee_after(self, recoveries: Iterable[Recovery]) -> Committee:
        """Return the committee after a line of recoveries, each signed by q validators.

        Raises: MalformedMessage, BadSignature.
        """
        committee = self.genesis.committee()
        for recovery in recoveries:
            check_follows_untrusted(committee, recovery)
            if len(recovery.votes) != committee.quorum:
                raise MalformedMessage(
                    f"the recovery to incarnation {recovery.incarnation} has "
                    f"{len(recovery.votes)} signatures; {committee.quorum} are needed"
                )
            self.check_votes(committee, recovery)
            committee = committee.recovered(recovery)
        return committee

    def check_votes(self, committee: Committee, recovery: Recovery) -> None:
        """Return when all signatures on `recovery` are good, and each of another validator.

        Raises: MalformedMessage, BadSignature.
        """
        authors = [vote.author for vote in recovery.votes]
        if authors != sorted(set(authors)) or any(author >= committee.size for author in authors):
            raise MalformedMessage("the signers of a recovery are not validators in rising order")
        for claim in recovery_claims(committee, recovery):
            self._check_signed(claim.author, claim.statement, claim.signature, "the recovery")

    def check_proposal(self, proposal: Proposal) -> None:
        """Return when `proposal` proves what it says. Raises: MalformedMessage, BadSignature."""
        genesis = self.genesis
        if proposal.author >= len(self.keys):
            raise MalformedMessage(f"of validator {proposal.author}; there are {len(self.keys)}")
        data = encode_proposal(genesis.chain_id, genesis.hash, proposal)
        self._check_signed(proposal.author, data, proposal.signature, "the proposal")
        committee = self.committee_after(proposal.recoveries)
        for certificate in (proposal.certificate, proposal.checkpoint, proposal.high):
            if certificate is not None:
                self._check_certificate(committee, certificate)
        if proposal.certified > proposal.final:
            raise MalformedMessage("it certifies more than it says is final")
        if proposal.final == 0 and proposal.anchor != committee.genesis:
            raise MalformedMessage("nothing is final, and it names an anchor")
        certificate = proposal.certificate
        if certificate is None or certificate.sequence != proposal.final:
            return
        if certificate.anchor != proposal.anchor:
            raise MalformedMessage("its commit certificate names another anchor")

    def _check_certificate(self, committee: Committee, certificate: Certificate) -> None:
        check_shape_untrusted(committee, certificate)
        for claim in claims_of(committee, certificate):
            what = f"a vote in its {type(certificate).__name__}"
            self._check_signed(claim.author, claim.statement, claim.signature, what)

    def _check_signed(self, author: int, statement: bytes, signature: bytes, what: str) -> None:
        if not self.keys[author].verify(self.genesis.crypto_mode, statement, signature):
            raise BadSignature(f"validator {author} did not sign {what}, or not in this form")


def check_follows_untrusted(committee: Committee, recovery: Recovery) -> None:
    """Return when `recovery` may come next. Raises: MalformedMessage."""
    current = max(committee.incarnations)
    if recovery.previous != current or recovery.incarnation <= current:
        raise MalformedMessage(
            f"a recovery from incarnation {recovery.previous} to {recovery.incarnation}; "
            f"expected one from {current} to a later one"
        )
    lowest = max(committee.origin.sequence, recovery.final, recovery.checkpoint)
    if recovery.base < lowest:
        raise MalformedMessage(f"a recovery that begins at {recovery.base}, below what is final")


def digest_of(committee: Committee, recovery: Recovery) -> Digest:
    """Return what tells a recovery from any other. `committee`: any incarnation of the chain."""
    return hash_of(recovery_statement(committee, recovery, ValidatorIndex(0)))


# --- signing


def sign(node: StoppedNode, plan: Plan) -> Recovery:
    """Return the plan's recovery with this validator's signature; first promise, synced, silence.

    Raises: ConfigError, when this node does not have what it proposed, or signed another plan.
    """
    _check_unchanged(node, plan)
    recovery = plan.recovery
    digest = digest_of(node.committee, recovery)
    promised = node.store.promised()
    is_same = promised == (recovery.incarnation, digest)
    if promised is not None and promised[0] >= recovery.incarnation and not is_same:
        raise ConfigError(
            f"this node has signed another recovery to incarnation {promised[0]}. Propose again, "
            "on all nodes: the next plan gets a number of its own"
        )
    node.store.put_promise(recovery.incarnation, digest)
    statement = recovery_statement(node.committee, recovery, node.me)
    vote = Signed(node.me, node.signer().sign(statement))
    return replace(recovery, votes=(vote,))


def _check_unchanged(node: StoppedNode, plan: Plan) -> None:
    mine = [proposal for proposal in plan.proposals if proposal.author == node.me]
    if not mine:
        raise ConfigError(
            "the plan was made without this node's proposal: only who takes part may sign"
        )
    now = survey(node)
    if replace(now, promised=mine[0].promised, signature=mine[0].signature) != mine[0]:
        raise ConfigError(
            f"this node has changed since its proposal (then final {mine[0].final}, now "
            f"{now.final}): propose again, with all nodes stopped"
        )


# --- applying


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did."""

    incarnation: Incarnation
    is_new: bool  # False: it had been applied before
    is_amnesiac: bool  # True: this node did not sign, so it asks the others for its way back
    kept: Path | None  # where the old journal is


def apply(node: StoppedNode, line: Sequence[Recovery]) -> Applied:
    """Enter the incarnation of the last of `line`, all recoveries of this chain, verified.

    Raises: ConfigError, and nothing has changed.
    """
    own = node.store.recoveries()
    number = line[-1].incarnation
    if own == tuple(line):
        return Applied(number, is_new=False, is_amnesiac=False, kept=None)
    if tuple(line) == own[: len(line)]:
        raise ConfigError(
            f"this node is in incarnation {own[-1].incarnation} already, after this recovery "
            f"(to {number}); nothing was changed"
        )
    if own != tuple(line[: len(own)]):
        raise ConfigError(
            f"this node has applied a recovery to incarnation {own[-1].incarnation} that this one "
            f"(to {number}) does not stand on; nothing was changed. Its data directory cannot go "
            "on in this network: keep it, and let the node fetch everything into a new one"
        )
    for recovery in line[len(own) :]:
        _check_fits(node, recovery)
    promised = node.store.promised()
    has_signed = promised == (number, digest_of(node.committee, line[-1]))
    if promised is not None and promised[0] >= number and not has_signed:
        raise ConfigError(
            f"this node has signed another recovery, to incarnation {promised[0]}, and with it "
            "promised to say nothing in any before; nothing was changed. Apply that one, or make a "
            "new plan with all nodes"
        )
    if not has_signed and not can_rejoin(node.committee):
        raise ConfigError(
            f"with {node.committee.size} validators each must sign the recovery before it applies "
            "it: run `cretonode recover sign`; nothing was changed"
        )
    stable = node.store.newest_checkpoint()
    records: list[Record] = [] if stable is None else [StableCheckpoint(stable)]
    is_amnesiac = not has_signed or _has_been_in(node, number)
    if is_amnesiac:
        records.append(AmnesiaBegun(secrets.token_bytes(NONCE_BYTES)))

    def enter(marker: JournalMarker) -> None:
        node.store.put_recoveries(line, marker)

    encoded = [encode_record(record) for record in records]
    kept = renew_journal(node.directory, number, encoded, enter)
    return Applied(number, is_new=True, is_amnesiac=is_amnesiac, kept=kept)


def _has_been_in(node: StoppedNode, incarnation: Incarnation) -> bool:
    """True when the journal shows that votes were cast in `incarnation`: the database is older."""
    try:
        node.directory.open_journal(incarnation).journal.close()
    except (JournalForeign, JournalMissing, JournalDamaged):
        return False
    return True


def _check_fits(node: StoppedNode, recovery: Recovery) -> None:
    """Pass when what is final here is the beginning of what the recovery goes on with."""
    store = node.store
    final = store.final_sequence()
    if final > recovery.base:
        raise ConfigError(_ahead(store, recovery, final))
    for sequence, anchor in (
        (recovery.final, recovery.final_anchor),
        (recovery.base, recovery.base_anchor),
    ):
        slot = store.get_finalized(sequence)
        if slot is not None and slot.anchor != anchor:
            raise ConfigError(
                f"sequence {sequence} is final here with anchor {short(slot.anchor)}, and the "
                f"recovery names {short(anchor)}: it would be a fork. Nothing was changed. Keep "
                "this data directory: it is evidence"
            )
    slot = store.get_finalized(recovery.checkpoint)
    if slot is not None and slot.log_root != recovery.digest:
        raise ConfigError(
            f"this node executed sequence {recovery.checkpoint} to another log root "
            f"({short(slot.log_root)}) than the recovery names ({short(recovery.digest)}); "
            "nothing was changed. Its database is wrong: keep it, and fetch everything anew"
        )


def _ahead(store: Store, recovery: Recovery, final: SequenceNumber) -> str:
    first = SequenceNumber(recovery.base + 1)
    last = SequenceNumber(min(final, recovery.base + COUNTED_SLOTS_MAX))
    transactions = sum(
        store.get_checked(vertex).vertex.transaction_count - skipped.bit_count()
        for slot in store.finalized_range(first, last)
        for vertex, skipped in zip(slot.vertices, slot.skipped, strict=True)
    )
    more = " or more" if last < final else ""
    return (
        f"this node has final what the recovery leaves out: sequences {first} to {final}, "
        f"{transactions}{more} transactions, which clients were told are final. Nothing was "
        "changed. If the other nodes have not gone on yet, make a new plan with this node's "
        "proposal. If they have, keep this data directory, tell whoever relies on these "
        "transactions, and let the node fetch the recovered chain into a new one (docs/recover.md)"
    )
