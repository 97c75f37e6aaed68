"""The world: nodes that take turns, and what becomes of the effects of their cores.

Everything is drawn from one seeded generator, so a seed is a whole run.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from cretonode.core.committee import Committee
from cretonode.core.effects import (
    Accuse,
    Effect,
    Entered,
    Finalize,
    Halt,
    Lookup,
    Persist,
    Reason,
    Refuse,
    Rejoined,
    Say,
    Send,
    Serve,
)
from cretonode.core.events import Event, LookedUp, Received, Tick
from cretonode.core.messages import Message, Statement, VertexMessage
from cretonode.core.records import OwnVertex
from cretonode.core.replica import Replica
from cretonode.core.state import NEVER_MS, Timing
from cretonode.core.statements import statement_of
from cretonode.dag.payload import each_id
from cretonode.identifiers import TransactionId, ValidatorIndex
from tests.simulation.byzantine.behaviour import Behaviour
from tests.simulation.clients import Clients
from tests.simulation.clockwork import START_MS
from tests.simulation.disk import Disk, DiskFull
from tests.simulation.marks import LISTENER, mark
from tests.simulation.network import SILENCE_MS, Network
from tests.simulation.nodes import Node
from tests.simulation.oracles import Oracles, Violation
from tests.simulation.signatures import flaw_of, oracle_signature

FINGERPRINT_BITS = 64
HELD_MS_MAX = 500  # a core holds a batch of its clients for no longer: see World._check_batch
FULL_DISK_MS = 700  # until somebody makes room
S = TypeVar("S", bound=Statement)


class World(Network):
    """All of it. `run_until` moves time; the rest is called from the scenario."""

    def __init__(
        self, committee: Committee, timing: Timing, rng: random.Random, oracles: Oracles
    ) -> None:
        """Begin without nodes."""
        super().__init__(rng)
        self.committee = committee
        self.timing = timing
        self.oracles = oracles
        self.steps = 0
        self.acknowledged: set[TransactionId] = set()
        self.trace: list[str] | None = None
        self.heard: list[Message] | None = None  # by honest nodes, when somebody wants to know
        self.views_entered = 0
        self.fingerprint = 0  # of every step: who, when, what came of it
        self._verified: dict[int, tuple[Message, bool]] = {}

    # --- nodes

    def add_node(self, name: str, me: ValidatorIndex, *, honest: bool = True) -> Node:
        """Add a node that is down."""
        node = Node(name, me, Disk(self.committee), honest)
        self.link_up(node)
        return node

    def start(self, node: Node) -> None:
        """Start or restart a node from what its disk holds."""
        assert node.replica is None
        node.life += 1
        node.busy = False
        node.inbox = []
        node.waking_ms = node.lying_ms = NEVER_MS
        node.took_ms = None
        if node.behaviour is not None:
            if node.behaviour.forgets:
                node.disk.forget()
            node.behaviour.restarted()
        restored = node.disk.restore()
        if node.disk.torn:
            mark("torn tail dropped")
        replica = Replica(self.committee, node.me, self.timing, restored)
        node.replica = replica
        node.clients = Clients(replica.state.dedup, node.disk)
        if node.honest:
            self.oracles.on_start(node.name, restored.promises)
        LISTENER.hears = node.honest
        self.note(f"{node.name} starts in view {replica.state.view}")
        self._perform(node, replica.start(node.clock(self.now_ms)))
        for other in self.nodes:
            if other.replica is not None and other.me != node.me:
                self.greet(node, other)

    def restart(self, node: Node) -> None:
        """Start a node unless it runs."""
        if node.replica is None and not node.retired:
            self.start(node)

    def crash(self, node: Node) -> None:
        """Kill a node: memory and a random part of the unsynced writes are gone."""
        assert node.replica is not None
        self.note(f"{node.name} crashes")
        node.replica = node.clients = node.fuse = None
        node.disk.crash(self.rng)
        for other in self.nodes:
            if other.me != node.me:
                self.later(SILENCE_MS, self.notice, other, node)

    def pause(self, node: Node, pause_ms: int) -> None:
        """Stop a node's world for a while: it hears everything late, its timers included."""
        node.paused_until_ms = max(node.paused_until_ms, self.now_ms + pause_ms)
        self.later(pause_ms, self.if_alive, node, node.life, Tick())

    def submit(self, node: Node, transactions: list[bytes]) -> None:
        """A client hands transactions to a node."""
        if node.replica is not None and node.clients is not None:
            if node.honest:
                self.oracles.on_submit(transactions, node.replica.state.final)
            node.clients.submit(transactions)
            self._turn(node)

    # --- a node's turn

    def deliver(self, node: Node, event: Event) -> None:
        """Put an event into a node's inbox."""
        if node.replica is not None:
            node.inbox.append(event)
            self._turn(node)

    def _turn(self, node: Node) -> None:
        """Step through all that waits; what comes while the disk syncs makes the next turn."""
        replica = node.replica
        if node.busy or replica is None or self.now_ms < node.paused_until_ms:
            return
        effects: list[Effect] = []
        LISTENER.hears = node.honest
        events, node.inbox = node.inbox, []
        try:
            for event in events:
                effects += self._step(node, replica, event)
            if node.clients is not None and self._has_batch(node):
                batch = node.clients.take(self.now_ms)
                if batch is not None:
                    node.took_ms = self.now_ms
                    effects += self._step(node, replica, batch)
        except (AssertionError, KeyError) as error:
            if node.honest and isinstance(error, AssertionError):
                raise Violation(f"the core of {node.name} asserts: {error}") from error
            if node.honest:
                raise
            self._undo(node)  # its core does not stand what it did
            return
        if node.took_ms is not None and node.honest:
            self._check_batch(node, replica, node.took_ms, effects)
        self._perform(node, effects)

    def _step(self, node: Node, replica: Replica, event: Event) -> list[Effect]:
        self.steps += 1
        effects = replica.step(event, node.clock(self.now_ms))
        what = self.now_ms << 16 ^ node.me << 10 ^ len(effects)
        self.fingerprint = (self.fingerprint * 1_000_003 ^ what) % (1 << FINGERPRINT_BITS)
        return effects

    def _check_batch(
        self, node: Node, replica: Replica, took_ms: int, effects: list[Effect]
    ) -> None:
        """What a core took from its clients goes into a vertex soon, or nobody else knows of it.

        No timer runs for it anywhere else. This holds in every schedule: a batch is taken only when
        no own vertex is under way, and is kept only by a leader that may propose and waits for its
        slot interval (60 ms at the most, and 5 % for its clock), or by a node that is behind, whose
        time does not count. A node that stood still does it in its first turn.
        """
        if any(isinstance(e, Persist) and isinstance(e.record, OwnVertex) for e in effects):
            node.took_ms = None
        elif replica.state.behind:
            node.took_ms = self.now_ms
        elif self.now_ms > took_ms + HELD_MS_MAX:
            raise Violation(f"{node.name} sits on a batch for {self.now_ms - took_ms} ms")

    def _undo(self, node: Node) -> None:
        """Start a malicious node afresh: its lies contradict what its core knows."""
        self.crash(node)
        node.disk = Disk(self.committee)
        self.later(500, self.restart, node)

    def _perform(self, node: Node, effects: list[Effect]) -> None:
        if not effects and node.behaviour is None:
            self._rest(node)
            return
        if node.fuse is not None and self._burns(node, "before the journal"):
            return
        effects = [
            Say(self.sign_as(node.me, effect.statement), effect.to)
            if isinstance(effect, Say)
            else effect
            for effect in effects
        ]
        try:
            owed = node.disk.write(effects)
        except DiskFull:
            self._stop_full(node)
            return
        if node.honest:
            for effect in effects:
                if isinstance(effect, Finalize):
                    self.oracles.on_finalize(node.name, effect, node.disk)
                elif isinstance(effect, Persist):
                    self.oracles.on_persist(node.name, effect.record)
        if not self._must_sync_first():
            self._dispatch(node, effects)
            effects = []
        if owed:
            if node.fuse is not None and self._burns(node, "before the sync"):
                return
            node.busy = True
            self.later(self.rng.randint(0, 4), self._synced, node, node.life, effects)
        else:
            self._dispatch(node, effects)
            self._rest(node)

    def _must_sync_first(self) -> bool:
        """What the node's driver does too; a planted bug turns it off."""
        return True

    def _synced(self, node: Node, life: int, effects: list[Effect]) -> None:
        if node.life != life or node.replica is None:
            return
        node.disk.sync()
        node.busy = False
        self._dispatch(node, effects)
        self._rest(node)

    def _rest(self, node: Node) -> None:
        """Go on with what waits, or sleep until the replica's deadline."""
        replica = node.replica
        if replica is None or node.busy:
            return
        if node.inbox or self._has_batch(node):
            self._turn(node)
            return
        own_ms = replica.deadline_ms()
        if own_ms >= NEVER_MS:
            return
        deadline_ms = self.now_ms + node.delay_until(own_ms, self.now_ms)
        if deadline_ms < node.waking_ms:
            node.waking_ms = deadline_ms
            self.later(deadline_ms - self.now_ms, self._wake, node, node.life, deadline_ms)

    def _wake(self, node: Node, life: int, deadline_ms: int) -> None:
        if node.waking_ms == deadline_ms:
            node.waking_ms = NEVER_MS
        if node.life == life:
            self.deliver(node, Tick())

    def _has_batch(self, node: Node) -> bool:
        replica, clients = node.replica, node.clients
        if replica is None or clients is None:
            return False
        return clients.wait(self.now_ms) and replica.wants_batch()

    # --- faults inside a turn

    def _burns(self, node: Node, place: str) -> bool:
        """Burn the fuse of a node down by one boundary. True when that killed it."""
        assert node.fuse is not None
        node.fuse.left -= 1
        if node.fuse.left >= 0:
            return False
        mark(f"killed {place}")
        down_ms = node.fuse.down_ms
        self.crash(node)
        self.later(down_ms, self.restart, node)
        return True

    def _stop_full(self, node: Node) -> None:
        """Stop a node whose journal takes no more: nothing of this turn was said."""
        mark("disk full")
        self.note(f"{node.name} stops: no space left on device")
        self.crash(node)
        self.later(FULL_DISK_MS, self._make_room, node)

    def _make_room(self, node: Node) -> None:
        node.disk.room = None
        self.restart(node)

    # --- effects

    def _dispatch(self, node: Node, effects: list[Effect]) -> None:
        if node.behaviour is not None:
            self._lie(node, node.behaviour, effects)
        for effect in effects:
            if node.replica is None:
                return
            if node.fuse is not None and self._burns(node, "between effects"):
                return
            self._do(node, effect)

    def _lie(self, node: Node, behaviour: Behaviour, effects: list[Effect]) -> None:
        """Send what a malicious node makes of its core's effects, and ask it again in time."""
        stored = partial(self._stored, node)
        for peer, message in behaviour.outgoing(effects, self.now_ms, stored):
            self.post(node, peer, message)
        deadline_ms = max(behaviour.deadline_ms(), self.now_ms + 1)
        if deadline_ms < node.lying_ms and deadline_ms < NEVER_MS:
            node.lying_ms = deadline_ms
            self.later(deadline_ms - self.now_ms, self._lie_on, node, node.life, deadline_ms)

    def _lie_on(self, node: Node, life: int, deadline_ms: int) -> None:
        if node.lying_ms == deadline_ms:
            node.lying_ms = NEVER_MS
        if node.life == life and node.replica is not None and node.behaviour is not None:
            self._lie(node, node.behaviour, [])

    def _do(self, node: Node, effect: Effect) -> None:
        if node.behaviour is not None and isinstance(effect, Send | Serve | Say):
            if isinstance(effect, Say):  # what had to be sent was sent already
                node.inbox.append(Received(node.me, effect.statement))
            return
        match effect:
            case Send(peer, message):
                self.post(node, peer, message)
            case Serve(peer=peer):
                for message in self._stored(node, effect):
                    self.post(node, peer, message)
            case Lookup(hashes):
                final = node.disk.tables.final
                found = tuple(final[h] for h in hashes if h in final)
                absent = tuple(h for h in hashes if h not in final)
                node.inbox.append(LookedUp(found, absent))
            case Say(statement, to):
                if isinstance(statement, VertexMessage):
                    self._acknowledge(node, statement)
                self._say(node, statement, to)
            case _:
                self._take_note(node, effect)

    def _take_note(self, node: Node, effect: Effect) -> None:
        """Judge and count the effects that ask nothing of the world."""
        match effect:
            case Halt(cause) if node.honest and not self.oracles.forks:
                raise Violation(f"{node.name} halts: {cause}")
            case Entered(view=view, cause=cause):
                self.views_entered += 1
                self.note(f"{node.name} enters view {view}: {cause}")
                if node.honest:
                    mark(f"view entered: {cause}")
            case Accuse(author=author) if node.honest:
                mark(f"accused: two of {type(effect.first).__name__}")
                if all(other.honest for other in self.nodes if other.me == author):
                    raise Violation(f"{node.name} accuses the honest {author}: {effect}")
            case Rejoined(view=view):
                self.note(f"{node.name} is no amnesiac any more, in view {view}")
                mark("journal lost: rejoined")
            case Refuse(peer, reason):
                self.note(f"{node.name} refuses {reason.name} from {peer}")
                is_honest = all(other.honest for other in self.nodes if other.me == peer)
                if node.honest and is_honest and reason is Reason.INVALID_RANGE:
                    raise Violation(f"{node.name} holds the honest {peer} to lie in ranges")
                if node.honest:
                    mark(f"refused: {reason.name}")
            case Finalize(sequence=sequence, anchor=anchor):
                assert node.clients is not None
                node.clients.on_finalize(effect)
                self.note(f"{node.name} finalizes {sequence} {anchor.hash[:4].hex()}")
            case _:
                pass

    def _acknowledge(self, node: Node, message: VertexMessage) -> None:
        """Answer the clients whose transactions are on disk now."""
        assert node.clients is not None
        node.clients.on_durable(message, self.now_ms)
        if node.honest:
            node.acknowledged.update(each_id(message.transaction_ids))
            self.acknowledged.update(each_id(message.transaction_ids))

    def _stored(self, node: Node, effect: Serve) -> Sequence[Message]:
        vertices = node.disk.tables.vertices
        found: list[Message] = [vertices[v] for v in effect.vertices if v in vertices]
        if effect.count:
            found.append(node.disk.headers(effect.first, effect.count))
        return found

    def _say(self, node: Node, statement: Statement, to: ValidatorIndex | None) -> None:
        if node.honest:
            self.oracles.on_say(node.name, statement, node.disk)
        node.inbox.append(Received(node.me, statement))
        for peer in node.routes if to is None else (to,):
            if node.fuse is not None and self._burns(node, "between two sends"):
                return
            self.post(node, peer, statement)

    def sign_as(self, author: ValidatorIndex, statement: S) -> S:
        """Return `statement` with the signature of `author`, whoever it names."""
        signed = statement_of(self.committee, statement)
        return replace(statement, signature=oracle_signature(author, signed))

    # --- what arrives

    def arrive(self, sender: Node, target: Node, life: int, message: Message) -> None:
        """Verify a message and deliver it, unless the target was started anew meanwhile."""
        if target.life != life or target.replica is None or not self._verify(sender, message):
            return
        if self.heard is not None and target.honest:
            self.heard.append(message)
        behaviour = target.behaviour
        if behaviour is not None and not behaviour.hears(sender.me, message, self.now_ms):
            return
        self.deliver(target, Received(sender.me, message))
        if behaviour is not None:
            self._lie(target, behaviour, [])

    def _verify(self, sender: Node, message: Message) -> bool:
        """Check shape and signatures, as the node does; once per message is enough here."""
        known = self._verified.get(id(message))
        if known is not None:
            return known[1]
        cause = flaw_of(self.committee, message, checks_payload=not sender.honest)
        if cause is not None and sender.honest:
            raise Violation(f"{sender.name} sends {cause}: {message}")
        self._verified[id(message)] = (message, cause is None)  # kept, so that the id stays taken
        return cause is None

    def note(self, line: str) -> None:
        """Add a line to the trace, when one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now_ms - START_MS:>7} {line}")
