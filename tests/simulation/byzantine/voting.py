"""Votes that contradict each other."""

from collections import defaultdict

from cretonode.core.messages import Commit, Message, Prepare, PrePrepare, Statement
from cretonode.crypto.hashing import hash_of
from cretonode.identifiers import ValidatorIndex, VertexHash
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting

Slot = tuple[int, int]  # (view, sequence)


class EchoesVotes(Behaviour):
    """Votes for whatever another votes for, to that one alone: in both phases, in any view.

    Half of these liars say no other vote: only the first vote of an author counts, so their own
    would stand in the way of what each one wants to hear.
    """

    def __init__(self, setting: Setting) -> None:
        """Start without having heard of any anchor."""
        super().__init__(setting)
        self.only_echoes = self.rng.random() < 0.5
        if self.only_echoes:
            self.rate = 1.0
        self.proposed: defaultdict[Slot, list[VertexHash]] = defaultdict(list)
        self._echoed: set[tuple[ValidatorIndex, Slot, VertexHash]] = set()

    def hears(self, sender: ValidatorIndex, message: Message, now_ms: int) -> bool:
        """Answer a vote with the same one."""
        heard = super().hears(sender, message, now_ms)
        if isinstance(message, PrePrepare | Prepare | Commit):
            self._echo(sender, message)
        return heard

    def says(self, statement: Statement) -> list[Outgoing]:
        """Leave the core's own votes out, or not."""
        if self.only_echoes and isinstance(statement, Prepare | Commit):
            return []
        return super().says(statement)

    def _echo(self, sender: ValidatorIndex, vote: PrePrepare | Prepare | Commit) -> None:
        slot = (vote.view, vote.sequence)
        if vote.anchor not in self.proposed[slot]:
            self.proposed[slot].append(vote.anchor)
        if (sender, slot, vote.anchor) in self._echoed or not self.lies():
            return
        self._echoed.add((sender, slot, vote.anchor))
        self.acts += 1
        prepares = self.committee.leader_of(vote.view) != self.me
        for kind in (Prepare, Commit) if prepares else (Commit,):
            echo = kind(view=vote.view, sequence=vote.sequence, anchor=vote.anchor, author=self.me)
            self.later(0, sender, self.sign(echo))


class VotesTwice(EchoesVotes):
    """Votes for another anchor to one part of the others: one that is proposed, or none at all."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Contradict a prepare or a commit."""
        if not isinstance(statement, Prepare | Commit) or not self.lies():
            return super().says(statement)
        known = self.proposed[(statement.view, statement.sequence)]
        others = [anchor for anchor in known if anchor != statement.anchor]
        invented = VertexHash(hash_of(statement.anchor))
        other = self.rng.choice(others) if others else invented
        lie: Statement
        match statement:
            case Prepare():
                lie = Prepare(
                    view=statement.view,
                    sequence=statement.sequence,
                    anchor=other,
                    author=self.me,
                )
            case Commit():
                lie = Commit(
                    view=statement.view,
                    sequence=statement.sequence,
                    anchor=other,
                    author=self.me,
                )
        return self.halves(statement, self.sign(lie))
