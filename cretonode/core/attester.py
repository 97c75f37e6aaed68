"""Helping an amnesiac back: attest how far this replica has come, and leave the lead for it.

Owns the own answers and how often leaders may step down for one validator, so that a liar
that asks moves views no faster than an honest one. Source: docs/spec/durability.md, section 8.
"""

from dataclasses import dataclass, field

from cretonode.core.effects import Say
from cretonode.core.messages import Attestation, Rejoin
from cretonode.core.pauses import Pauses
from cretonode.core.retransmission import Retransmission
from cretonode.core.state import State
from cretonode.core.views import Views
from cretonode.identifiers import ValidatorIndex, View
from cretonode.limits import ATTEST_MS, STEP_DOWN_MS, STEP_DOWN_MS_MAX


@dataclass(slots=True)
class Attester:
    """Bound: of each other validator one answer, one time and one pause."""

    state: State
    views: Views
    retransmission: Retransmission
    _answers: dict[ValidatorIndex, Attestation] = field(default_factory=dict)
    _answered_ms: dict[ValidatorIndex, int] = field(default_factory=dict)
    _pauses: Pauses = field(default_factory=lambda: Pauses(STEP_DOWN_MS, STEP_DOWN_MS_MAX))
    _charged: View = View(-1)  # the last view left for somebody

    def on_rejoin(self, sender: ValidatorIndex, message: Rejoin) -> None:
        """Answer an amnesiac. One that is relayed tells that the leader leaves for it."""
        state = self.state
        author = message.author
        if author == state.me:
            return
        if sender != author:
            self._note_left(sender, author)
            return
        state.amnesiacs[author] = state.now_ms
        if state.amnesiac:
            return  # what this replica does not know it cannot attest
        if state.now_ms >= self._answered_ms.get(author, 0):
            self._answered_ms[author] = state.now_ms + ATTEST_MS
            self._answer(message)
        self._make_way(message)

    def on_own_attestation(self, message: Attestation) -> None:
        """Keep it, signed: the same request gets the same answer."""
        self._answers[message.about] = message

    def _answer(self, message: Rejoin) -> None:
        state = self.state
        author = message.author
        known = self._answers.get(author)
        if known is not None and known.nonce == message.nonce:
            state.send(author, known)
        else:
            attestation = Attestation(
                about=author,
                nonce=message.nonce,
                view=state.view,
                index=self.retransmission.newest_of(author),
                author=state.me,
            )
            state.emit(Say(attestation, to=author))
        if state.high is not None:
            state.send(author, state.high)

    def _make_way(self, message: Rejoin) -> None:
        """As leader of a view below what the author needs, step down: not too often."""
        state = self.state
        if not state.leads or message.until <= state.view:
            return
        if state.now_ms < self._pauses.until_ms(message.author):
            return
        self._charge(message.author, state.view)
        for peer in state.peers:
            if peer != message.author:
                state.send(peer, message)  # so that the next leaders know whom it was for
        self.views.step_down()

    def _note_left(self, leader: ValidatorIndex, author: ValidatorIndex) -> None:
        """Charge `author` for a step-down of another leader, once for each view.

        The word may come after the view-change that it explains.
        """
        for view in (self.state.view, self.state.view - 1):
            if view > self._charged and leader == self.state.committee.leader_of(View(view)):
                self._charge(author, View(view))
                return

    def _charge(self, author: ValidatorIndex, view: View) -> None:
        self._charged = view
        self._pauses.count(author, self.state.now_ms)
