"""A replica far behind, the chain it lacks, and peers that answer it.

The replica is validator 1 of 4; 0, 2 and 3 say how far they are.
"""

from dataclasses import dataclass, field, replace

from cretonode.core.effects import Effect, Finalize, Lookup, Reason, Refuse, Say, Send
from cretonode.core.events import PeerConnected
from cretonode.core.messages import (
    FetchSlots,
    FetchVertices,
    Message,
    SlotHeaders,
    VertexMessage,
)
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


CHAIN = chain_of(600)


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


@dataclass
class PacedNetwork:
    """Peers that answer one request after the other, each after a while, while the chain grows.

    `lying` peers cut ranges and send no vertices; `silent` ones answer nothing. The headers of a
    sequence of `large` fit into no answer.
    """

    tested: Driven
    head: int
    silent: set[int] = field(default_factory=set)
    lying: set[int] = field(default_factory=set)
    large: set[int] = field(default_factory=set)
    answer_ms: int = 40
    growth_ms: int = 100  # from one sequence to the next
    asked: list[tuple[int, FetchSlots | FetchVertices]] = field(default_factory=list)
    _answers: list[tuple[int, int, FetchSlots | FetchVertices]] = field(default_factory=list)
    _free_ms: dict[int, int] = field(default_factory=dict)
    _said_ms: int = 0

    def play(self, effects: list[Effect], *, ms: int) -> None:
        """Let `ms` pass, ten at a time."""
        self._take(effects)
        for _ in range(ms // 10):
            self._take(self.tested.wait(10))
            self._take(self._answer_due())
            if self.tested.now_ms // self.growth_ms > (self.tested.now_ms - 10) // self.growth_ms:
                self._take(self._grow())

    def _grow(self) -> list[Effect]:
        self.head = min(self.head + 1, len(CHAIN))
        effects = self.tested.hear(committed(0, CHAIN[self.head - 1][-1]))
        if self.tested.now_ms >= self._said_ms + 1_000:
            self._said_ms = self.tested.now_ms
            for peer in (0, 2, 3):
                effects += self.tested.hear(status_of(final=self.head), sender=peer)
        return effects

    def _take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Lookup):
                self._take(self.tested.step(self.tested.looked_up(effect)))
            elif isinstance(effect, Say):
                self._take(self.tested.come_back([effect]))
            elif isinstance(effect, Send):
                self._ask(effect.peer, effect.message)

    def _ask(self, peer: int, message: Message) -> None:
        if isinstance(message, FetchSlots | FetchVertices):
            self.asked.append((peer, message))
            free_ms = max(self.tested.now_ms, self._free_ms.get(peer, 0)) + self.answer_ms
            self._free_ms[peer] = free_ms
            self._answers.append((free_ms, peer, message))

    def _answer_due(self) -> list[Effect]:
        due = [answer for answer in self._answers if answer[0] <= self.tested.now_ms]
        self._answers = [answer for answer in self._answers if answer[0] > self.tested.now_ms]
        effects: list[Effect] = []
        for _, peer, message in due:
            if peer in self.silent:
                continue
            if isinstance(message, FetchVertices):
                if peer not in self.lying:
                    effects += self.tested.hear(*(BODIES[h] for h in message.hashes), sender=peer)
                continue
            answer = self._headers(message.first, message.count)
            if peer in self.lying:
                answer = replace(answer, headers=answer.headers[1:])
            effects += self.tested.hear(answer, sender=peer)
        return effects

    def _headers(self, first: int, count: int) -> SlotHeaders:
        end = min(first + count, self.head + 1)
        cut = min((large for large in self.large if first <= large < end), default=end)
        return headers(first, cut - first, extra=min(end - cut, 1))
