"""Servers that fail those who catch up: by lying, by silence, by a trickle."""

from collections.abc import Sequence
from dataclasses import replace

from cretonode.core.messages import (
    CommitCertificate,
    Message,
    SlotHeaders,
    Status,
    VertexMessage,
)
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting

TRICKLE_MS = 700  # from one vertex to the next


class LiesInRanges(Behaviour):
    """Answers range requests with forged, cut, old and foreign ranges; claims to be far ahead."""

    def __init__(self, setting: Setting) -> None:
        """Start with nothing to replay."""
        super().__init__(setting)
        self._before: SlotHeaders | None = None
        self._told = 0

    def sends(self, peer: ValidatorIndex, message: Message) -> list[Outgoing]:
        """Say a height that goes up and down."""
        if not isinstance(message, Status) or not self.lies():
            return super().sends(peer, message)
        self.acts += 1
        height = message.final + self.rng.choice((0, 9, 500))
        return [(peer, replace(message, final=SequenceNumber(height), slots=()))]

    def serves(self, peer: ValidatorIndex, messages: Sequence[Message]) -> list[Outgoing]:
        """Change what proves a range; vertices are left out, or are others."""
        found: list[Outgoing] = []
        for message in messages:
            if not self.lies():
                found.append((peer, message))
                continue
            self.acts += 1
            match message:
                case SlotHeaders():
                    found.append((peer, self._lie(message)))
                case VertexMessage():
                    found.append((peer, replace(message, signature=bytes(16))))
                case _:
                    pass
        return found

    def _lie(self, message: SlotHeaders) -> SlotHeaders:
        before, self._before = self._before, message
        certificate = message.certificate
        every = [vertex for vertex in message.headers if vertex.sequence]
        lies = [
            # That its first sequence fits no answer: true of itself, so that nobody blames it.
            replace(message, headers=(), anchors=(*every, *message.anchors)),
            replace(message, headers=message.headers[1:]),
            replace(message, headers=message.headers[:-1]),
            replace(message, headers=tuple(reversed(message.headers))),
            replace(message, anchors=message.headers[-1:]),
            replace(message, first=SequenceNumber(message.first + 1)),
            replace(message, headers=message.headers[-1:]),
        ]
        if before is not None:
            lies.append(replace(before, first=message.first))  # a replay
        if certificate is not None:
            lies.append(replace(message, certificate=self._forged(certificate)))
        if certificate is None:
            return message
        self._told += 1  # by turns, so that a short run meets several
        return lies[(self._told - 1) % len(lies)]

    def _forged(self, certificate: CommitCertificate) -> CommitCertificate:
        anchor = VertexHash(hash_of(b"forged"))
        return replace(certificate, anchor=anchor, sequence=SequenceNumber(10_000))


class Stalls(Behaviour):
    """Says how far it is, and answers no request."""

    def serves(self, peer: ValidatorIndex, messages: Sequence[Message]) -> list[Outgoing]:
        """Answer nothing, most of the time."""
        if not self.lies():
            return super().serves(peer, messages)
        self.acts += bool(messages)
        return []


class Trickles(Behaviour):
    """Answers, a vertex now and then: never silent, never done."""

    def serves(self, peer: ValidatorIndex, messages: Sequence[Message]) -> list[Outgoing]:
        """Put vertices off, each longer than the one before."""
        at_once: list[Outgoing] = []
        delay_ms = 0
        for message in messages:
            if isinstance(message, VertexMessage) and self.lies():
                self.acts += 1
                delay_ms += TRICKLE_MS
                self.later(delay_ms, peer, message)
            else:
                at_once.append((peer, message))
        return at_once
