"""View changes: leaving a view, proving that enough left, and opening the next on one base.

Owns the view-changes heard, the suspicions, and the timers that move the view. Positions compare
by (view, sequence); a view is opened on the highest position of a timeout certificate and on
nothing else, so no hidden lock can stall it.
Source: docs/spec/models.md (Enter, Bases and FirstVote in ChainedPBFT.tla).
"""

from dataclasses import dataclass, field

from cretonode.core.effects import Accuse, Entered, Persist, Say
from cretonode.core.intake import Intake
from cretonode.core.loners import PAUSE_TIMEOUTS, PAUSE_TIMEOUTS_MAX, Loners
from cretonode.core.messages import (
    NewView,
    Suspect,
    ViewChange,
    ViewChangeVote,
)
from cretonode.core.ordering import Ordering
from cretonode.core.patience import Patience
from cretonode.core.pauses import Pauses
from cretonode.core.records import BaseAdopted, SaidNewView, SaidViewChange, ViewEntered
from cretonode.core.state import NEVER_MS, State
from cretonode.identifiers import ValidatorIndex, View


@dataclass(slots=True)
class Views:
    """Bound: of each validator one view-change (its highest view) and one suspicion."""

    state: State
    intake: Intake
    ordering: Ordering
    patience: Patience = field(init=False)
    loners: Loners = field(init=False)
    view_changes: dict[ValidatorIndex, ViewChange] = field(default_factory=dict)
    _views_heard: tuple[View, View] = (View(-1), View(-1))  # in these: the highest, the (f+1)-th
    new_view: NewView | None = None  # of the current view
    entered_ms: int = 0
    fruitless_ms: int = 0  # when the first view after the newest progress was entered
    started_ms: int = 0
    _opened: View = View(-1)  # the last view this replica opened as leader
    _quorum_left_ms: int = NEVER_MS  # when q validators were first known to be in this view change
    _silent: set[ValidatorIndex] = field(default_factory=set)
    _suspects: dict[ValidatorIndex, tuple[View, int]] = field(default_factory=dict)
    _suspected_view: View = View(-1)  # the highest that anybody suspected the leader of
    _suspected_at_ms: int = -NEVER_MS

    def __post_init__(self) -> None:
        self.patience = Patience(self.state)
        timeout_ms = self.state.timing.view_change_timeout_ms
        pauses = Pauses(PAUSE_TIMEOUTS * timeout_ms, PAUSE_TIMEOUTS_MAX * timeout_ms)
        self.loners = Loners(self.state, pauses)

    def resume(self, said: ViewChange | None, opened: NewView | None) -> None:
        """Say again what the journal shows was said in this view."""
        if opened is not None:
            self._opened = opened.view
            self.state.emit(Say(opened))
        elif said is not None and self.state.base is None:
            self.state.emit(Say(said))
        elif self._entered_in_silence():
            self._say_view_change()

    def _entered_in_silence(self) -> bool:
        """True when the journal ends between entering a view and saying why.

        Nothing was voted in it: a base or a certificate of the view would have been journaled.
        """
        state = self.state
        voted = state.high is not None and state.high.view >= state.view
        return state.view > 0 and state.base is None and not voted

    def step_down(self) -> None:
        """Give the view up: who follows this leader leaves with it."""
        self._leave(View(self.state.view + 1), "stepped down")

    # --- what is heard

    def on_view_change(self, message: ViewChange) -> None:
        """Keep the author's highest; two different ones for one view are evidence."""
        known = self.view_changes.get(message.author)
        if known is not None and known.view >= message.view:
            if known.view == message.view and known.high != message.high:
                self.state.equivocators.add(message.author)
                self.state.emit(Accuse(message.author, known, message))
            return
        self.view_changes[message.author] = message
        views = sorted((heard.view for heard in self.view_changes.values()), reverse=True)
        faults = self.state.committee.faults
        self._views_heard = (views[0], views[faults] if len(views) > faults else View(-1))
        self.loners.on_view_change(message)

    def on_new_view(self, message: NewView) -> None:
        """Open the view, unless it is past or open already."""
        state = self.state
        if message.view < state.view:
            return
        if message.view == state.view and self.new_view is not None:
            if self.new_view.base != message.base:
                state.equivocators.add(message.author)
                state.emit(Accuse(message.author, self.new_view, message))
            return
        if message.view > state.view:
            self._enter(message.view, "new-view")
        if state.base is not None:  # restored from the journal: the base of this view is fixed
            if state.base == message.base:
                self.new_view = message
            return
        self.new_view = message
        state.base = message.base
        state.emit(Persist(BaseAdopted(message.view, message.base)))
        if message.certificate is not None:
            state.raise_high(message.certificate)
        # What was accepted above the base is plain history again.
        state.chain.cut(max(message.base.sequence, state.final))

    def on_suspect(self, message: Suspect) -> None:
        """Note that the author would leave the view."""
        self._suspects[message.author] = (message.view, self.state.now_ms)
        self._suspected_view = max(self._suspected_view, message.view)

    def on_silent(self, peer: ValidatorIndex) -> None:
        """Note that nothing comes from `peer`."""
        self._silent.add(peer)

    def on_heard(self, peer: ValidatorIndex) -> None:
        """Take a suspicion back."""
        self._silent.discard(peer)

    # --- what follows

    def advance(self) -> None:
        """Leave the view when it failed, follow those who left, open the view when leading it."""
        state = self.state
        if state.certified_view > state.view:
            # A quorum works in a later view: go there and wait to be shown its base.
            self._enter(state.certified_view, "certificate")
        self.patience.note_connected()
        if state.amnesiac:
            return
        self._join()
        self._note_quorum_left()
        cause = self._cause_to_leave()
        if cause is not None:
            self._leave(View(state.view + 1), cause)
            self._note_quorum_left()
        self._try_open()
        self._suspect()

    def settled(self, *, progressed: bool) -> None:
        """Take note of what came of the step."""
        behind = self._is_behind()
        if behind or self.patience.is_stopped:
            self.patience.note_behind(self._waiting_since_ms, behind=behind)
        if progressed:
            self.patience.progressed()

    def next_deadline_ms(self) -> int:
        """When `advance` has something to do."""
        if self.state.amnesiac:
            return NEVER_MS
        return min(self._deadline_ms(), self._suspect_ms(), self.loners.deadline_ms())

    def own_view_change(self) -> ViewChange | None:
        """Return the own signed view-change, for sending again."""
        return self.view_changes.get(self.state.me)

    def suspected(self, view: View) -> tuple[ValidatorIndex, ...]:
        """Return whose newest suspicion is of the leader of `view`."""
        return tuple(author for author, (of, _) in self._suspects.items() if of == view)

    def own_suspect(self) -> bool:
        """True when this replica suspects the leader now."""
        return self._suspect_ms() < NEVER_MS

    # --- moving

    def _cause_to_leave(self) -> str | None:
        """Why to leave for the next view now, if there is a reason.

        Nobody leaves a view before a quorum was there: it opened, or q left for it or later. So
        nobody is ever more than one view above one that a quorum has entered.
        """
        state = self.state
        if state.base is None and self._quorum_left_ms == NEVER_MS:
            return None
        suspicions = self._suspicions()
        if suspicions and suspicions >= self._suspicions_needed():
            return "suspect"
        if self._leader_left():
            return "leader left"
        if state.leader in state.equivocators and state.leader != state.me:
            return "equivocation"
        if state.now_ms >= self._deadline_ms():
            self.patience.failed()
            return "timeout"
        if state.now_ms >= self.loners.deadline_ms():
            return "fetched back"
        return None

    def _leave(self, view: View, cause: str) -> None:
        """Promise to vote in nothing below `view` and report the highest certificate."""
        self._enter(view, cause)
        self._say_view_change()

    def _count_loners(self, cause: str) -> None:
        """Whoever was ahead has its will; all learn of it, so that leaders share one limit."""
        fetched = cause == "fetched back"
        for loner in self.loners.joined(given_up=fetched or self._leader_left()):
            for peer in self.state.peers if fetched else ():
                self.state.send(peer, self.view_changes[loner])

    def _say_view_change(self) -> None:
        state = self.state
        high = state.high.position if state.high else state.committee.origin
        message = ViewChange(view=state.view, high=high, certificate=state.high, author=state.me)
        state.emit(Persist(SaidViewChange(message)), Say(message))

    def _enter(self, view: View, cause: str) -> None:
        state = self.state
        assert view > state.view, (view, state.view)
        if view == state.view + 1:
            self._count_loners(cause)
        state.enter(view)
        self.new_view = None
        if state.progress_ms >= self.entered_ms:
            self.fruitless_ms = state.now_ms
        self.entered_ms = state.now_ms
        self._quorum_left_ms = NEVER_MS
        self._suspected_at_ms = -NEVER_MS
        state.emit(Persist(ViewEntered(view)))
        state.emit(Entered(view=view, leader=state.leader, cause=cause))
        self.loners.begin_view(self.view_changes.values())
        state.pace.begin_view(view, state.now_ms)
        self.ordering.begin_view()

    def _join(self) -> None:
        """Go to the (f+1)-th highest view heard: at least one honest validator is there."""
        _, shared = self._views_heard
        if shared > self.state.view:
            self._leave(shared, "joined")

    def _note_quorum_left(self) -> None:
        """Time a view change only once q are in it, so that a minority does not run away."""
        if self.state.base is not None or self._quorum_left_ms != NEVER_MS:
            return
        here = sum(message.view >= self.state.view for message in self.view_changes.values())
        if here >= self.state.committee.quorum:
            self._quorum_left_ms = self.state.now_ms

    def _try_open(self) -> None:
        """As leader, turn q view-changes for this view into its new-view."""
        state = self.state
        if state.base is not None or state.leader != state.me or self._opened == state.view:
            return
        heard = [m for m in self.view_changes.values() if m.view == state.view]
        if len(heard) < state.committee.quorum:
            return
        heard.sort(key=lambda message: message.author)
        timeouts = heard[: state.committee.quorum]
        highest = max(timeouts, key=lambda message: message.high.rank)
        message = NewView(
            view=state.view,
            base=highest.high,
            timeouts=tuple(ViewChangeVote(m.author, m.high, m.signature) for m in timeouts),
            certificate=highest.certificate,
            author=state.me,
        )
        self._opened = state.view  # adopted when it comes back, durable and signed
        state.emit(Persist(SaidNewView(message)), Say(message))

    # --- timing

    def _timeout_ms(self) -> int:
        return self.patience.timeout_ms()

    def _deadline_ms(self) -> int:
        """When this view has failed: nothing opened it, or something known is not final."""
        if self._is_behind() or self.patience.is_stopped:
            return NEVER_MS
        since_ms = self._waiting_since_ms()
        return self.patience.deadline_ms(since_ms, self._timeout_ms())

    def _waiting_since_ms(self) -> int | None:
        """Since when the leader owes something; None: it owes nothing."""
        state = self.state
        if state.base is None:
            return self._quorum_left_ms if self._quorum_left_ms != NEVER_MS else None
        if state.view > 0 and state.progress_ms < self.entered_ms:
            return self.entered_ms  # the sequence after the base
        oldest_ms = self.intake.oldest_ms()
        return max(oldest_ms, self.entered_ms) if oldest_ms is not None else None

    def _is_behind(self) -> bool:
        """True while a certificate above the own final sequence waits for what it names."""
        return bool(self.ordering.execution.waiting)

    def _leader_left(self) -> bool:
        """True when the leader of this view itself gave it up, or does not know its own words."""
        state = self.state
        opened = state.base is not None or self._quorum_left_ms != NEVER_MS
        if opened and state.amnesiacs and state.is_amnesiac(state.leader):
            return True  # it will say nothing more here
        if self._views_heard[0] <= state.view:
            return False
        message = self.view_changes.get(state.leader)
        return message is not None and message.view > state.view

    def _suspicions_needed(self) -> int:
        """One flaky link must not move everybody, one dead leader must."""
        committee = self.state.committee
        return max(1, min(committee.size - 1, max(2, committee.faults + 1)))

    def _suspicions(self) -> int:
        state = self.state
        if self._suspected_view < state.view and self._views_heard[0] <= state.view:
            return 0
        expired = state.now_ms - 2 * state.timing.suspect_ms
        doubters = {a for a, (v, at) in self._suspects.items() if v == state.view and at > expired}
        doubters |= {a for a, m in self.view_changes.items() if m.view > state.view}
        return len(doubters - {state.leader})

    def _suspect(self) -> None:
        state = self.state
        if state.now_ms >= self._suspect_ms():
            self._suspected_at_ms = state.now_ms
            state.emit(Say(Suspect(view=state.view, author=state.me)))

    def _suspect_ms(self) -> int:
        """When to say that the leader is suspected; never, while it is not."""
        state = self.state
        leader, every_ms = state.leader, state.timing.suspect_ms
        doubted_ms = NEVER_MS
        if leader == state.me:
            return NEVER_MS
        if leader in self._silent or state.pace.slow:
            doubted_ms = 0
        elif leader not in state.connected:
            doubted_ms = self.started_ms + every_ms // 2  # it had its chance to connect
        return max(doubted_ms, self._suspected_at_ms + every_ms)
