"""Links that delay, lose, repeat and cut, and who notices whom."""

import random
from abc import abstractmethod

from cretonode.core.events import Event, PeerConnected, PeerSilent
from cretonode.core.messages import CheckpointCertificate, Commit, CommitCertificate, Message
from cretonode.identifiers import ValidatorIndex
from tests.simulation.clockwork import Clockwork
from tests.simulation.nodes import Link, Node

SILENCE_MS = 300  # without a keep-alive, until a peer counts as silent
COMMITTING = (Commit, CommitCertificate, CheckpointCertificate)


class Network(Clockwork):
    """Every node is linked with every other, in both directions."""

    def __init__(self, rng: random.Random) -> None:
        """Begin without nodes."""
        super().__init__()
        self.rng = rng
        self.nodes: list[Node] = []
        self.links: dict[tuple[str, str], Link] = {}

    def link_up(self, node: Node) -> None:
        """Add a node and its links."""
        for other in self.nodes:
            for source, target in ((node, other), (other, node)):
                link = self.links[(source.name, target.name)] = Link()
                if source.me != target.me:  # twins do not know of each other
                    source.routes.setdefault(target.me, []).append((target, link))
        self.nodes.append(node)

    def node(self, name: str) -> Node:
        """Return the node called `name`."""
        return next(node for node in self.nodes if node.name == name)

    def split(self, groups: list[set[str]]) -> None:
        """Cut every link between different groups, in both directions."""
        for a, b in self.links:
            self.set_link(a, b, up=any(a in group and b in group for group in groups))

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
        if not up:
            self.later(SILENCE_MS, self.notice, target, source)
        elif source.replica is not None and target.replica is not None:
            self.greet(source, target)

    def greet(self, a: Node, b: Node) -> None:
        """Tell two running nodes that they reach each other, as far as they do."""
        if a.me == b.me:
            return
        for source, target in ((a, b), (b, a)):
            if self.links[(source.name, target.name)].up:
                self.later(2, self.if_alive, target, target.life, PeerConnected(source.me))

    def notice(self, node: Node, silent: Node) -> None:
        """Tell a node that another fell silent, unless it is heard again by now."""
        heard = any(
            other.replica is not None and link.up
            for other in self.nodes
            if other.me == silent.me and other is not node
            for link in (self.links[(other.name, node.name)],)
        )
        if not heard:
            self.deliver(node, PeerSilent(silent.me))

    def if_alive(self, node: Node, life: int, event: Event) -> None:
        """Deliver unless the node was started anew since."""
        if node.life == life:
            self.deliver(node, event)

    def post(self, node: Node, peer: ValidatorIndex, message: Message) -> None:
        """Put a message on every link to `peer`."""
        rng = self.rng
        for target, link in node.routes.get(peer, ()):
            if not link.up or (not link.commits and isinstance(message, COMMITTING)):
                continue
            copies = 2 if link.duplicate and rng.random() < link.duplicate else 1
            for _ in range(copies):
                if link.loss and rng.random() < link.loss:
                    continue
                delay_ms = link.delay_ms
                if link.jitter_ms:
                    delay_ms += int(rng.expovariate(1 / link.jitter_ms))
                self.later(delay_ms, self.arrive, node, target, target.life, message)

    @abstractmethod
    def arrive(self, sender: Node, target: Node, life: int, message: Message) -> None:
        """Take a message off its link."""

    @abstractmethod
    def deliver(self, node: Node, event: Event) -> None:
        """Put an event into a node's inbox."""
