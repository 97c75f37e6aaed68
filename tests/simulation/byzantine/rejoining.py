"""Liars around amnesia: attesters that keep views back, and amnesiacs that are none."""

from dataclasses import replace
from typing import Final

from cretonode.core.messages import Attestation, Rejoin, Statement
from cretonode.identifiers import AuthorIndex, View
from tests.simulation.byzantine.behaviour import Behaviour, Outgoing, Setting

INTERVAL_MS: Final = 20


class AttestsLow(Behaviour):
    """Says that it never left view 0 and never saw a vertex: who believes it comes back early."""

    def says(self, statement: Statement) -> list[Outgoing]:
        """Change an attestation, and nothing else."""
        if isinstance(statement, Attestation):
            self.acts += 1
            statement = self.sign(replace(statement, view=View(0), index=AuthorIndex(0)))
        return super().says(statement)


class AsksToRejoin(Behaviour):
    """Asks for the way back without end, in the view of the greatest need."""

    def __init__(self, setting: Setting) -> None:
        """Begin at once."""
        super().__init__(setting)
        self._asked_ms = 0

    def adds(self) -> list[Outgoing]:
        """Ask fifty times a second, each time after another loss."""
        if self.now_ms < self._asked_ms + INTERVAL_MS:
            return []
        self._asked_ms = self.now_ms
        self.acts += 1
        return self.to_all(
            self.sign(Rejoin(nonce=self.rng.randbytes(32), until=View(2**40), author=self.me))
        )

    def deadline_ms(self) -> int:
        """Never rest."""
        return min(super().deadline_ms(), self._asked_ms + INTERVAL_MS)
