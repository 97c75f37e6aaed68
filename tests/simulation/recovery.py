"""A recovery as operators do it: all nodes down, a plan from the disks, a new incarnation.

Stands in for `cretonode.node.recovery`, with the same plan and without files and signatures.
"""

from collections.abc import Iterable

from cretonode.core.messages import Signed
from cretonode.core.records import AmnesiaBegun, Promises, Record, StableCheckpoint, fold
from cretonode.core.recovery_plan import JournalState, Plan, Proposal, make_plan
from cretonode.core.statements import recovery_statement
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import Incarnation, SequenceNumber, VertexHash
from tests.simulation.disk import Disk
from tests.simulation.nodes import Node
from tests.simulation.scenario import committee_of
from tests.simulation.signatures import oracle_signature
from tests.simulation.world import World


def recover(world: World, taking_part: Iterable[Node], promised: int = 0) -> Plan:
    """Take all nodes down and start them in the next incarnation; the rest begin as amnesiacs."""
    for node in world.nodes:
        if node.replica is not None:
            world.crash(node)
    present = list(taking_part)
    before = world.committee
    first = committee_of(before.size, before.parameters)
    plan = make_plan(first, [proposal_of(world, node, promised) for node in present])
    signers = sorted(node.me for node in present)[: before.quorum]
    votes = tuple(
        Signed(me, oracle_signature(me, recovery_statement(before, plan.recovery, me)))
        for me in signers
    )
    assert len(votes) == before.quorum
    world.committee = before.recovered(plan.recovery)
    world.note(f"recovered to incarnation {plan.recovery.incarnation} after {plan.recovery.base}")
    forget_what_was_said(world)
    for node in world.nodes:
        node.disk.committee = world.committee
        node.disk.room = None
        stable = max(node.disk.tables.checkpoints.values(), key=lambda c: c.sequence, default=None)
        records: list[Record] = [] if stable is None else [StableCheckpoint(stable)]
        if node not in present:
            records.append(AmnesiaBegun(bytes([plan.recovery.incarnation]) * 32))
        node.disk.renew(records)
        world.start(node)
    return plan


def proposal_of(world: World, node: Node, promised: int) -> Proposal:
    """Return what a node that is down has on its disk."""
    disk = node.disk
    promises = fold(disk.journal)
    slot = disk.tables.sequences.get(max(disk.tables.sequences, default=SequenceNumber(0)))
    certificate = disk.restore().certificate
    checkpoints = disk.tables.checkpoints
    return Proposal(
        author=node.me,
        recoveries=world.committee.recoveries,
        promised=Incarnation(promised),
        journal=journal_of(promises),
        final=slot.sequence if slot is not None else SequenceNumber(0),
        anchor=slot.anchor.hash if slot is not None else world.committee.genesis,
        certificate=certificate,
        checkpoint=checkpoints[max(checkpoints)] if checkpoints else None,
        high=promises.high,
        anchors=held_anchors(disk, world.committee.genesis),
    )


def journal_of(promises: Promises) -> JournalState:
    if promises.amnesia is not None:
        return JournalState.LOST
    return JournalState.EMPTY if promises.high is None else JournalState.WHOLE


def held_anchors(disk: Disk, genesis: VertexHash) -> tuple[Vertex, ...]:
    """Return all anchors that are here with their ancestry."""
    held = {genesis}
    for message in sorted(disk.tables.vertices.values(), key=lambda m: m.vertex.order_key):
        if held.issuperset(message.vertex.parents):
            held.add(message.vertex.hash)
    return tuple(
        message.vertex
        for vertex, message in disk.tables.vertices.items()
        if vertex in held and message.vertex.is_anchor
    )


def forget_what_was_said(world: World) -> None:
    """Let everybody say anything in the new incarnation, but no index of a vertex twice."""
    oracles = world.oracles
    oracles.said = {key: value for key, value in oracles.said.items() if key[1] == "Vertex"}
    oracles.left.clear()
    oracles.committed.clear()
