"""A replica far behind, the chain it lacks, and peers that answer it.

The replica is validator 1 of 4; 0, 2 and 3 say how far they are.
"""

from dataclasses import dataclass, field

from cretonode.core.effects import Effect, Finalize, Lookup, Reason, Refuse, Say, Send
from cretonode.core.events import PeerConnected
from cretonode.core.messages import FetchSlots, FetchVertices, SlotHeaders, VertexMessage
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchor,
    committed,
    make_replica,
    of,
    plain,
)
from tests.core.test_retransmission import status_of

PATIENCE_MS = 4 * TIMING.fetch_timeout_ms


def chain_of(count: int) -> list[list[VertexMessage]]:
    """Return what each sequence orders: a plain vertex of another author, then the anchor."""
    found: list[list[VertexMessage]] = []
    previous, own = ROOT, ROOT
    for index in range(1, count + 1):
        vertex = plain(2, index, *([own] if own is not ROOT else []), previous)
        top = anchor(0, index, previous, vertex, transactions=[b"t%d" % index])
        found.append([vertex, top])
        previous, own = top, vertex
    return found


CHAIN = chain_of(200)


BODIES = {message.vertex.hash: message for slot in CHAIN for message in slot}


def headers(first: int, count: int, *, extra: int = 0) -> SlotHeaders:
    """Return an honest answer: `extra` anchors above, then the certificate."""
    last = first + count - 1
    return SlotHeaders(
        first=SequenceNumber(first),
        certificate=committed(0, CHAIN[last + extra - 1][-1]),
        checkpoint=None,
        headers=tuple(m.vertex for slot in CHAIN[first - 1 : last] for m in slot),
        anchors=tuple(slot[-1].vertex for slot in CHAIN[last : last + extra]),
    )


def behind(*ahead: int, gap: int = 100) -> tuple[Driven, list[Effect]]:
    """Return a replica that has just seen a certificate for sequence `gap`."""
    tested = make_replica()
    for peer in (0, 2, 3):
        tested.step(PeerConnected(ValidatorIndex(peer)))
        tested.hear(status_of(final=gap if peer in ahead else 0), sender=peer)
    return tested, tested.hear(committed(0, CHAIN[gap - 1][-1]))


def requests(effects: list[Effect]) -> list[tuple[int, int, int]]:
    """Return who was asked, from which sequence, for how many."""
    return [
        (e.peer, e.message.first, e.message.count)
        for e in of(effects, Send)
        if isinstance(e.message, FetchSlots)
    ]


def fetches(effects: list[Effect]) -> list[tuple[int, tuple[VertexHash, ...]]]:
    """Return who was asked for which vertices."""
    return [
        (e.peer, e.message.hashes)
        for e in of(effects, Send)
        if isinstance(e.message, FetchVertices)
    ]


def finals(effects: list[Effect]) -> list[int]:
    return [effect.sequence for effect in of(effects, Finalize)]


def refusals(effects: list[Effect]) -> list[tuple[int, Reason]]:
    return [(e.peer, e.reason) for e in of(effects, Refuse)]


@dataclass
class Network:
    """Peers that answer `tested` at once, each in its own way."""

    tested: Driven
    silent: set[int] = field(default_factory=set)
    asked: list[tuple[int, str]] = field(default_factory=list)

    def play(self, effects: list[Effect]) -> list[Effect]:
        """Answer until nothing more is asked; return all effects."""
        found = list(effects)
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            more: list[Effect] = []
            if isinstance(effect, Lookup):
                more = self.tested.step(self.tested.looked_up(effect))
            elif isinstance(effect, Send):
                more = self._answer(effect)
            elif isinstance(effect, Say):
                more = self.tested.come_back([effect])
            found += more
            waiting += more
        return found

    def _answer(self, effect: Send) -> list[Effect]:
        message, peer = effect.message, effect.peer
        if isinstance(message, FetchSlots | FetchVertices):
            self.asked.append((peer, type(message).__name__))
        if peer in self.silent:
            return []
        match message:
            case FetchSlots(first=first, count=count):
                return self.tested.hear(headers(first, count), sender=peer)
            case FetchVertices(hashes=hashes):
                return self.tested.hear(*(BODIES[h] for h in hashes), sender=peer)
            case _:
                return []
