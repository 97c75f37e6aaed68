"""What a malicious validator is made of: an honest core, and lies on the way out.

A behaviour sees the effects of its core, as the shell does, and returns what goes to whom. It
signs as itself and nobody else. It knows nothing of what carries the messages, so the same one
serves a simulated and a real node.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias, TypeVar

from cretonode.core.committee import Committee
from cretonode.core.effects import Effect, Entered, Persist, Say, Send, Serve
from cretonode.core.messages import (
    FetchVertices,
    Message,
    PrepareCertificate,
    Statement,
    VertexMessage,
)
from cretonode.core.records import HighCertificate
from cretonode.core.state import NEVER_MS
from cretonode.identifiers import ValidatorIndex, VertexHash, View

Outgoing: TypeAlias = tuple[ValidatorIndex, Message]
Stored: TypeAlias = Callable[[Serve], Sequence[Message]]  # what the own disk answers to a request
S = TypeVar("S", bound=Statement)


class Signer(Protocol):
    """Signs as the malicious validator."""

    def __call__(self, statement: S) -> S:
        """Return `statement` with its author's signature."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a behaviour may know and do."""

    committee: Committee
    me: ValidatorIndex
    sign: Signer
    rng: random.Random
    timeout_ms: int  # the others' view-change timeout


class Behaviour:
    """Says what its core says. Each kind of liar changes one of `says`, `sends`, `serves`, `hears`.

    `acts` counts what an honest validator would not have done.
    """

    forgets: ClassVar[bool] = False  # its journal does not survive a restart

    def __init__(self, setting: Setting) -> None:
        """Draw how often to lie, and whom to treat differently."""
        self.committee = setting.committee
        self.me = setting.me
        self.sign = setting.sign
        self.rng = setting.rng
        self.timeout_ms = setting.timeout_ms
        self.peers = [ValidatorIndex(i) for i in range(setting.committee.size) if i != self.me]
        self.rate = self.rng.choice((0.1, 0.5, 1.0))
        self.half = set(self.rng.sample(self.peers, self.rng.randint(1, len(self.peers))))
        self.acts = 0
        self.now_ms = 0
        self.view = View(0)
        self.entered_ms = 0
        self.highs: list[PrepareCertificate] = []  # the core's own, rising
        self.made: dict[VertexHash, VertexMessage] = {}  # vertices that the core does not know of
        self.own_index = 0  # below this the core must take no index for a vertex of its own
        self._held: list[tuple[int, Outgoing]] = []

    # --- the shell's side

    def outgoing(self, effects: Iterable[Effect], now_ms: int, stored: Stored) -> list[Outgoing]:
        """Return what leaves for whom, now."""
        self.now_ms = now_ms
        found: list[Outgoing] = []
        for effect in effects:
            match effect:
                case Say(statement):
                    found += self.says(statement)
                case Send(peer, message):
                    found += self.sends(peer, message)
                case Serve(peer=peer):
                    found += self.serves(peer, stored(effect))
                case Entered(view=view):
                    self.view, self.entered_ms = view, now_ms
                case Persist(HighCertificate(certificate)):
                    self.highs.append(certificate)
                case _:
                    pass
        found += self.adds()
        due = [out for at_ms, out in self._held if at_ms <= now_ms]
        self._held = [(at_ms, out) for at_ms, out in self._held if at_ms > now_ms]
        return [*found, *due]

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Take note of what arrives. False: the core shall not hear it."""
        self.now_ms = now_ms
        if isinstance(message, FetchVertices):
            for vertex in message.hashes:
                if vertex in self.made:
                    self.later(0, sender, self.made[vertex])
        return True

    def deadline_ms(self) -> int:
        """When to ask for `outgoing` at the latest."""
        return min((at_ms for at_ms, _ in self._held), default=NEVER_MS)

    def restarted(self) -> None:
        """Note that the node was started."""

    # --- what a kind of liar changes

    def says(self, statement: Statement) -> list[Outgoing]:
        """Return what becomes of an own statement."""
        return self.to_all(statement)

    def sends(self, peer: ValidatorIndex, message: Message) -> list[Outgoing]:
        """Return what becomes of a message to one validator."""
        return [(peer, message)]

    def serves(self, peer: ValidatorIndex, messages: Sequence[Message]) -> list[Outgoing]:
        """Return what becomes of the answer to a request."""
        return [(peer, message) for message in messages]

    def adds(self) -> list[Outgoing]:
        """Return what nobody asked for."""
        return []

    # --- tools

    @property
    def leads(self) -> bool:
        """True when this validator leads the view its core is in."""
        return self.committee.leader_of(self.view) == self.me

    def lies(self) -> bool:
        """Toss the coin of this liar."""
        return self.rng.random() < self.rate

    def to_all(self, message: Message) -> list[Outgoing]:
        """Return `message` for everybody else."""
        return [(peer, message) for peer in self.peers]

    def halves(self, truth: Message, lie: Message) -> list[Outgoing]:
        """Return `lie` for one part of the others and `truth` for the rest."""
        self.acts += 1
        return [(peer, lie if peer in self.half else truth) for peer in self.peers]

    def later(self, delay_ms: int, peer: ValidatorIndex, message: Message) -> None:
        """Send `message` after a while."""
        self._held.append((self.now_ms + delay_ms, (peer, message)))

    def keep(self, message: VertexMessage) -> VertexMessage:
        """Sign a vertex that the core does not know of, and answer for it from now on."""
        signed = self.sign(message)
        self.made[signed.vertex.hash] = signed
        return signed
