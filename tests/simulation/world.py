"""The world: virtual time, one queue of things to come, nodes, links and clients.

Everything is drawn from one seeded generator, so a seed is a whole run.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    Refuse,
    Rejoined,
    Say,
    Send,
    Serve,
)
from cretonode.core.events import Event, LookedUp, PeerConnected, PeerSilent, Received, Tick
from cretonode.core.messages import (
    CheckpointCertificate,
    Commit,
    CommitCertificate,
    Message,
    Statement,
    VertexMessage,
)
from cretonode.core.replica import Replica
from cretonode.core.state import NEVER_MS, Timing
from cretonode.core.statements import statement_of
from cretonode.dag.payload import each_id
from cretonode.identifiers import TransactionId, ValidatorIndex
from tests.simulation.byzantine.behaviour import Behaviour
from tests.simulation.clients import Clients
from tests.simulation.disk import Disk
from tests.simulation.nodes import START_MS, Link, Node
from tests.simulation.oracles import Oracles, Violation
from tests.simulation.signatures import flaw_of, oracle_signature

SILENCE_MS = 300
COMMITTING = (Commit, CommitCertificate, CheckpointCertificate)
S = TypeVar("S", bound=Statement)


@dataclass(slots=True)
class World:
    """All of it. `run_until` moves time; the rest is called from the scenario."""

    committee: Committee
    timing: Timing
    rng: random.Random
    oracles: Oracles
    now_ms: int = START_MS
    steps: int = 0
    nodes: list[Node] = field(default_factory=list)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    acknowledged: set[TransactionId] = field(default_factory=set)
    trace: list[str] | None = None
    views_entered: int = 0
    _queue: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _verified: dict[int, tuple[Message, bool]] = field(default_factory=dict)

    # --- building

    def add_node(self, name: str, me: ValidatorIndex, *, honest: bool = True) -> Node:
        """Add a node that is down."""
        node = Node(name, me, Disk(self.committee), honest)
        for other in self.nodes:
            self.links[(name, other.name)] = Link()
            self.links[(other.name, name)] = Link()
        self.nodes.append(node)
        return node

    def start(self, node: Node) -> None:
        """Start or restart a node from what its disk holds."""
        assert node.replica is None
        node.life += 1
        node.busy = False
        node.inbox = []
        node.waking_ms = node.lying_ms = NEVER_MS
        if node.behaviour is not None:
            if node.behaviour.forgets:
                node.disk.journal.clear()
            node.behaviour.restarted()
        restored = node.disk.restore()
        replica = Replica(self.committee, node.me, self.timing, restored)
        node.replica = replica
        node.clients = Clients(replica.state.dedup, node.disk)
        if node.honest:
            self.oracles.on_start(node.name, restored.promises)
        self.note(f"{node.name} starts in view {replica.state.view}")
        self._perform(node, replica.start(node.clock(self.now_ms)))
        for other in self.nodes:
            if other.replica is not None and other.me != node.me:
                self._greet(node, other)

    def crash(self, node: Node) -> None:
        """Kill a node: memory and a random part of the unsynced writes are gone."""
        assert node.replica is not None
        self.note(f"{node.name} crashes")
        node.replica = node.clients = None
        node.disk.crash(self.rng)
        for other in self.nodes:
            if other.me != node.me:
                self.later(SILENCE_MS, lambda o=other, n=node: self._notice(o, n))

    def submit(self, node: Node, transactions: list[bytes]) -> None:
        """A client hands transactions to a node."""
        if node.replica is not None and node.clients is not None:
            if node.honest:
                self.oracles.on_submit(transactions, node.replica.state.final)
            node.clients.submit(transactions)
            self._turn(node)

    def split(self, groups: list[set[str]]) -> None:
        """Cut every link between different groups, in both directions."""
        for (a, b), link in self.links.items():
            up = any(a in group and b in group for group in groups)
            self.set_link(a, b, up=up)
            link.up = up

    def heal(self) -> None:
        """Every link works again, and well."""
        for key, link in self.links.items():
            link.loss = link.duplicate = 0.0
            self.set_link(*key, up=True)

    def set_link(self, a: str, b: str, *, up: bool) -> None:
        """Change one directed link; both ends notice after a while."""
        link = self.links[(a, b)]
        if link.up == up:
            return
        link.up = up
        source, target = self.node(a), self.node(b)
        if up:
            if source.replica is not None and target.replica is not None:
                self._greet(source, target)
        else:
            self.later(SILENCE_MS, lambda: self._notice(target, source))

    def node(self, name: str) -> Node:
        """Return the node called `name`."""
        return next(node for node in self.nodes if node.name == name)

    # --- time

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Do `action` in `delay_ms`."""
        self._count += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._count, action))

    def run_until(self, until_ms: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Move time to `until_ms`, or stop early when `done`. Returns whether it is done."""
        checked_ms = self.now_ms
        while self._queue and self._queue[0][0] <= until_ms:
            if self.now_ms >= checked_ms + 50:
                checked_ms = self.now_ms
                if done():
                    return True
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
        self.now_ms = until_ms
        return done()

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
        events, node.inbox = node.inbox, []
        try:
            for event in events:
                effects += self._step(node, replica, event)
            batch = node.clients.take(self.now_ms) if self._has_batch(node) else None
            if batch is not None:
                effects += self._step(node, replica, batch)
        except (AssertionError, KeyError) as error:
            if node.honest:
                raise Violation(f"{node.name}: {type(error).__name__} {error}") from error
            self._undo(node)  # its core does not stand what it did
            return
        self._perform(node, effects)

    def _step(self, node: Node, replica: Replica, event: Event) -> list[Effect]:
        self.steps += 1
        return replica.step(event, node.clock(self.now_ms))

    def _undo(self, node: Node) -> None:
        """Start a malicious node afresh: its lies contradict what its core knows."""
        self.crash(node)
        node.disk = Disk(self.committee)
        self.later(500, lambda: self.start(node) if node.replica is None else None)

    def pause(self, node: Node, pause_ms: int) -> None:
        """Stop a node's world for a while: it hears everything late, its timers included."""
        node.paused_until_ms = max(node.paused_until_ms, self.now_ms + pause_ms)
        life = node.life
        self.later(pause_ms, lambda: self._if_alive(node, life, Tick()))

    def _perform(self, node: Node, effects: list[Effect]) -> None:
        life = node.life
        effects = [self._signed(node, effect) for effect in effects]
        owed = node.disk.write(effects)
        for effect in effects:
            if isinstance(effect, Finalize) and node.honest:
                self.oracles.on_finalize(node.name, effect, node.disk)
            elif isinstance(effect, Persist) and node.honest:
                self.oracles.on_persist(node.name, effect.record)
            elif isinstance(effect, Rejoined):
                self.note(f"{node.name} is no amnesiac any more, in view {effect.view}")
        if not self._must_sync_first():
            self._dispatch(node, effects)
            effects = []
        if owed:
            node.busy = True
            self.later(self.rng.randint(0, 4), lambda: self._synced(node, life, effects))
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
            life = node.life
            self.later(deadline_ms - self.now_ms, lambda: self._wake(node, life, deadline_ms))

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

    # --- effects

    def _dispatch(self, node: Node, effects: list[Effect]) -> None:
        if node.behaviour is not None:
            self._lie(node, node.behaviour, effects)
        for effect in effects:
            if node.replica is None:
                return
            self._do(node, effect)

    def _lie(self, node: Node, behaviour: Behaviour, effects: list[Effect]) -> None:
        """Send what a malicious node makes of its core's effects, and ask it again in time."""
        stored = partial(self._stored, node)
        for peer, message in behaviour.outgoing(effects, self.now_ms, stored):
            self._post(node, peer, message)
        deadline_ms = max(behaviour.deadline_ms(), self.now_ms + 1)
        if deadline_ms < node.lying_ms and deadline_ms < NEVER_MS:
            node.lying_ms = deadline_ms
            life = node.life
            self.later(deadline_ms - self.now_ms, lambda: self._lie_on(node, life, deadline_ms))

    def _lie_on(self, node: Node, life: int, deadline_ms: int) -> None:
        if node.lying_ms == deadline_ms:
            node.lying_ms = NEVER_MS
        if node.life == life and node.replica is not None and node.behaviour is not None:
            self._lie(node, node.behaviour, [])

    def _do(self, node: Node, effect: Effect) -> None:
        lies = node.behaviour is not None  # then everything to be sent was sent already
        match effect:
            case Send() | Serve() if lies:
                pass
            case Say(statement) if lies:
                node.inbox.append(Received(node.me, statement))
            case Send(peer, message):
                self._post(node, peer, message)
            case Serve(peer=peer):
                for message in self._stored(node, effect):
                    self._post(node, peer, message)
            case Lookup(hashes):
                final = node.disk.tables.final
                found = tuple(final[h] for h in hashes if h in final)
                absent = tuple(h for h in hashes if h not in final)
                node.inbox.append(LookedUp(found, absent))
            case Say(VertexMessage() as message):
                self._say(node, message)
                self._acknowledge(node, message)
            case Say(statement, to):
                self._say(node, statement, to)
            case Halt(cause) if node.honest:
                raise Violation(f"{node.name} halts: {cause}")
            case Entered(view=view, cause=cause):
                self.views_entered += 1
                self.note(f"{node.name} enters view {view}: {cause}")
            case Accuse(author=author) if node.honest:
                if all(other.honest for other in self.nodes if other.me == author):
                    raise Violation(f"{node.name} accuses the honest {author}: {effect}")
            case Refuse(peer, reason):
                self.note(f"{node.name} refuses {reason.name} from {peer}")
            case Finalize(sequence=sequence, anchor=anchor):
                assert node.clients is not None
                node.clients.on_finalize(effect)
                self.note(f"{node.name} finalizes {sequence} {anchor.hash[:4].hex()}")

    def _acknowledge(self, node: Node, message: VertexMessage) -> None:
        """Answer the clients whose transactions are on disk now."""
        assert node.clients is not None
        node.clients.on_durable(message, self.now_ms)
        if node.honest:
            self.acknowledged.update(each_id(message.transaction_ids))

    def _stored(self, node: Node, effect: Serve) -> list[Message]:
        vertices = node.disk.tables.vertices
        found: list[Message] = [vertices[v] for v in effect.vertices if v in vertices]
        if effect.count:
            found.append(node.disk.headers(effect.first, effect.count))
        return found

    def _say(self, node: Node, statement: Statement, to: ValidatorIndex | None = None) -> None:
        if node.honest:
            self.oracles.on_say(node.name, statement, node.disk)
        node.inbox.append(Received(node.me, statement))
        for peer in range(self.committee.size):
            if peer != node.me and to in (None, peer):
                self._post(node, ValidatorIndex(peer), statement)

    def _signed(self, node: Node, effect: Effect) -> Effect:
        if not isinstance(effect, Say):
            return effect
        return Say(self.sign_as(node.me, effect.statement), effect.to)

    def sign_as(self, author: ValidatorIndex, statement: S) -> S:
        """Return `statement` with the signature of `author`, whoever it names."""
        signed = statement_of(self.committee, statement)
        return replace(statement, signature=oracle_signature(author, signed))

    def _post(self, node: Node, peer: ValidatorIndex, message: Message) -> None:
        """Put a message on every link to `peer`."""
        for target in self.nodes:
            if target.me == peer:
                link = self.links[(node.name, target.name)]
                if not link.commits and isinstance(message, COMMITTING):
                    continue
                copies = 1 + (self.rng.random() < link.duplicate)
                for _ in range(copies):
                    if link.up and self.rng.random() >= link.loss:
                        delay_ms = link.delay_ms + int(
                            self.rng.expovariate(1 / (link.jitter_ms + 0.01))
                        )
                        life = target.life
                        self.later(
                            delay_ms,
                            lambda t=target, n=life: self._arrive(node, t, n, message),
                        )

    def _arrive(self, sender: Node, target: Node, life: int, message: Message) -> None:
        if target.life != life or target.replica is None or not self._verify(sender, message):
            return
        behaviour = target.behaviour
        if behaviour is not None and not behaviour.hears(sender.me, message, self.now_ms):
            return
        self.deliver(target, Received(sender.me, message))
        if behaviour is not None:
            self._lie(target, behaviour, [])

    def _verify(self, sender: Node, message: Message) -> bool:
        """Check shape and signatures, as the node does; once per message is enough here."""
        if id(message) in self._verified:
            return self._verified[id(message)][1]
        cause = flaw_of(self.committee, message, checks_payload=not sender.honest)
        if cause is not None and sender.honest:
            raise Violation(f"{sender.name} sends {cause}: {message}")
        self._verified[id(message)] = (message, cause is None)  # kept, so that the id stays taken
        return cause is None

    # --- who hears whom

    def _greet(self, a: Node, b: Node) -> None:
        if a.me == b.me:
            return  # twins do not know of each other
        for source, target in ((a, b), (b, a)):
            if self.links[(source.name, target.name)].up:
                event = PeerConnected(source.me)
                life = target.life
                self.later(2, lambda t=target, e=event, n=life: self._if_alive(t, n, e))

    def _if_alive(self, node: Node, life: int, event: Event) -> None:
        if node.life == life:
            self.deliver(node, event)

    def _notice(self, node: Node, silent: Node) -> None:
        """Tell a node that another fell silent, unless it is heard again by now."""
        heard = any(
            other.replica is not None and self.links[(other.name, node.name)].up
            for other in self.nodes
            if other.me == silent.me and other is not node
        )
        if not heard:
            self.deliver(node, PeerSilent(silent.me))

    def note(self, line: str) -> None:
        """Add a line to the trace, when one is kept."""
        if self.trace is not None:
            self.trace.append(f"{self.now_ms - START_MS:>7} {line}")
