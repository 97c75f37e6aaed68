"""Peers that lie to those who are behind."""

from collections.abc import Sequence
from dataclasses import replace

from cretonode.core.messages import CommitCertificate, Message, Signed, Status
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, VertexHash
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting


class LiesAboutHeight(Behaviour):
    """Claims to be far ahead, then far behind; answers requests with old ranges or not at all."""

    def __init__(self, setting: Setting) -> None:
        """Start with nothing to replay."""
        super().__init__(setting)
        self._served: list[Message] = []

    def sends(self, peer: ValidatorIndex, message: Message) -> list[Outgoing]:
        """Change the height in a status, and forge a certificate for it."""
        if not isinstance(message, Status) or not self.lies():
            return super().sends(peer, message)
        self.acts += 1
        if self.rng.random() < 0.5:
            nothing = tuple(AuthorIndex(0) for _ in message.newest)
            return [
                (
                    peer,
                    replace(
                        message,
                        final=SequenceNumber(0),
                        stable=SequenceNumber(0),
                        slots=(),
                        newest=nothing,
                    ),
                )
            ]
        height = SequenceNumber(message.final + self.rng.choice((1, 9, 500)))
        return [(peer, replace(message, final=height, slots=())), (peer, self._forged(height))]

    def serves(self, peer: ValidatorIndex, messages: Sequence[Message]) -> list[Outgoing]:
        """Answer with what was asked another time, or with nothing."""
        old, self._served = self._served, list(messages)
        if not self.lies():
            return super().serves(peer, messages)
        self.acts += 1
        return [(peer, message) for message in old] if self.rng.random() < 0.5 else []

    def _forged(self, sequence: SequenceNumber) -> CommitCertificate:
        authors = [ValidatorIndex(i) for i in range(self.committee.quorum)]
        return CommitCertificate(
            view=self.view,
            sequence=sequence,
            anchor=VertexHash(hash_of(b"forged")),
            votes=tuple(Signed(author, b"forged" + bytes(10)) for author in authors),
        )
