"""Schemes: what has to happen around some liars, at the right moment, before their lie does harm.

A scheme sees the whole world and holds the key of its liar, as an adversary does that owns the
network; what honest validators do is theirs. Each is set again and again, and often comes to
nothing because of the faults of the seed. `amnesia.EarlyReturn` is another one.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Final

from cretonode.core.events import Received, StepDown
from cretonode.core.messages import NewView, Prepare, ViewChange, ViewChangeVote
from cretonode.core.state import State
from cretonode.identifiers import ValidatorIndex, View
from tests.simulation.byzantine.behaviour import Behaviour
from tests.simulation.byzantine.changing_views import BaseToOne
from tests.simulation.faults import Faults
from tests.simulation.nodes import Node
from tests.simulation.world import World

LOOK_MS: Final = 20
FAIR_MS_MAX: Final = 60_000  # of one view
PROPOSING_MS: Final = 160  # shorter than it takes until a status tells who lacks what
TURN_MS: Final = 5  # one turn and its sync
OTHERS_LEAD_MS: Final = 1_000  # before they step down for the slow leader's sake


@dataclass(slots=True)
class SlowTurns:
    """Lets one validator take a turn only as often as finality may last, while it leads.

    It comes to lead soon, and nothing else goes wrong meanwhile: only the leader is to blame.
    """

    world: World
    faults: Faults
    liar: Node
    _view: View = View(-1)
    _since_ms: int = 0

    def plan(self) -> None:
        """Look who leads, until it is over."""
        world, now_ms = self.world, self.world.now_ms
        if self.faults.over:
            return
        views = sorted(n.replica.state.view for n in world.nodes if n.honest and n.replica)
        view = views[len(views) // 2] if views else View(0)
        if view != self._view:
            self._view, self._since_ms = view, now_ms
        leads = world.committee.leader_of(view) == self.liar.me
        if leads and now_ms < self._since_ms + FAIR_MS_MAX:
            turn_ms = world.timing.finality_timeout_ms
            self._behaviour().acts += 1
            world.pause(self.liar, turn_ms)
            self.faults.spared_until_ms = now_ms + 2 * turn_ms
            world.later(turn_ms + TURN_MS, self.plan)
            return
        if not leads and now_ms > self._since_ms + OTHERS_LEAD_MS:
            self._since_ms = now_ms
            step_down(world)
        world.later(LOOK_MS, self.plan)

    def _behaviour(self) -> Behaviour:
        assert self.liar.behaviour is not None
        return self.liar.behaviour


def step_down(world: World) -> None:
    """Let whoever leads have an operator who wants another leader."""
    for node in world.nodes:
        if node.replica is not None and node.replica.state.leads:
            world.deliver(node, StepDown())


@dataclass(slots=True)
class SecondBase:
    """Brings one of four validators to adopt a base of its own, and lets it crash.

    In the view before the liar's, only leader and victim hear each other, and the liar gives its
    prepares to the victim alone, which so gets certificates that nobody else has. The leader steps
    down; the liar opens its view for the others, who report less. The victim is shown another
    new-view, proved by its own view-change. Nobody has heard both, so nothing is proved against the
    liar. Then the victim crashes, or goes on beside a chain that its base is not on.
    """

    SIZE: ClassVar[int] = 4

    world: World
    rng: random.Random
    liar: Node
    is_over: Callable[[], bool]
    _leader: Node = field(init=False)  # of the view before
    _victim: Node = field(init=False)
    _view: View = View(0)  # the liar's
    _submitted: int = 0

    def plan(self) -> None:
        """Set it again and again, until it is over."""
        self.world.later(300, self._begin)

    def _begin(self) -> None:
        if self.is_over():
            return
        honest = [node for node in self.world.nodes if node.honest]
        states = [self._state(node) for node in (*honest, self.liar)]
        if any(state is None or state.base is None for state in states):
            self.world.later(100, self._begin)
            return
        views = {state.view for state in states if state is not None}
        view = View(max(views))
        committee = self.world.committee
        if len(views) > 1 or committee.leader_of(View(view + 1)) != self.liar.me:
            step_down(self.world)
            self.world.later(250, self._begin)
            return
        self.world.later(2_000, self._begin)
        self._view = View(view + 1)
        leader = committee.leader_of(view)
        self._leader = next(node for node in honest if node.me == leader)
        self._victim = self.rng.choice([node for node in honest if node is not self._leader])
        self._overlook(leader)
        together = {self._leader.name, self._victim.name}
        self.world.split([together, {n.name for n in self.world.nodes} - together])
        for at_ms in range(0, PROPOSING_MS, PROPOSING_MS // 8):
            self.world.later(at_ms, self._submit)
        self.world.later(PROPOSING_MS, self._vouch)

    def _submit(self) -> None:
        """Give the leader something to order: what is prepared in secret has to be long."""
        if not self.is_over():
            self._submitted += 1
            self.world.submit(self._leader, [b"in secret %d" % self._submitted])

    def _vouch(self) -> None:
        """Prepare with the victim alone what the leader has proposed."""
        replica = self._victim.replica
        if self.is_over() or replica is None or replica.state.view + 1 != self._view:
            self._heal()
            return
        for sequence, slot in sorted(replica.ordering.slots.items()):
            if slot.pre_prepare is not None and slot.prepared is None:
                prepare = Prepare(
                    view=replica.state.view,
                    sequence=sequence,
                    anchor=slot.pre_prepare.anchor,
                    author=self.liar.me,
                )
                self._tell(prepare)
        self.world.later(20, self._depose)

    def _depose(self) -> None:
        """Let the leader step down; all but the victim hear each other again."""
        if self.is_over() or self._leader.replica is None:
            self._heal()
            return
        for a, b in self.world.links:
            if self._victim.name not in (a, b):
                self.world.set_link(a, b, up=True)
        self.world.deliver(self._leader, StepDown())
        self.world.later(LOOK_MS, partial(self._show, 60))

    def _show(self, tries: int) -> None:
        """Show the victim its base, once the others have theirs."""
        state = self._state(self._victim)
        others = [n for n in self.world.nodes if n not in (self._victim, self.liar)]
        if self.is_over() or state is None or not tries:
            self._heal()
            return
        bases = [self._base(node) for node in others]
        message = self._second(others)
        if message is None or None in bases:
            self.world.later(LOOK_MS, partial(self._show, tries - 1))
            return
        if state.base is not None or any(b is not None and b >= message.base.rank for b in bases):
            self._heal()
            return
        self._behaviour().acts += 1
        self._tell(message)
        self.world.later(50, self._crash)

    def _second(self, others: list[Node]) -> NewView | None:
        """Return the new-view that the victim's own view-change proves, when all have left."""
        messages: list[ViewChange] = []
        for node in (self._victim, *others):
            replica = node.replica
            own = replica.views.own_view_change() if replica is not None else None
            if own is None or own.view != self._view:
                return None
            messages.append(own)
        messages.sort(key=lambda message: message.author)
        highest = max(messages, key=lambda message: message.high.rank)
        return NewView(
            view=self._view,
            base=highest.high,
            timeouts=tuple(ViewChangeVote(m.author, m.high, m.signature) for m in messages),
            certificate=highest.certificate,
            author=self.liar.me,
        )

    def _crash(self) -> None:
        """Let the victim forget now and then what it heard, but not what it wrote."""
        if self.is_over():
            return
        if self._victim.replica is not None and self.rng.random() < 0.35:
            self.world.crash(self._victim)
            self.world.later(30, self.world.restart, self._victim)
        self.world.later(60, self._heal)

    def _heal(self) -> None:
        if self.is_over():
            return
        for key in self.world.links:
            self.world.set_link(*key, up=True)
        self.world.later(1_000, self._overlook, None)

    # --- helpers

    def _tell(self, statement: Prepare | NewView) -> None:
        signed = self.world.sign_as(self.liar.me, statement)
        self.world.deliver(self._victim, Received(self.liar.me, signed))

    def _behaviour(self) -> Behaviour:
        assert self.liar.behaviour is not None
        return self.liar.behaviour

    def _overlook(self, leader: ValidatorIndex | None) -> None:
        behaviour = self._behaviour()
        assert isinstance(behaviour, BaseToOne)
        behaviour.overlooked = leader

    def _state(self, node: Node) -> State | None:
        """Return where a node stands that runs and knows what it said."""
        if node.replica is None or node.replica.state.amnesiac:
            return None
        return node.replica.state

    def _base(self, node: Node) -> tuple[int, int] | None:
        """Return the rank of the base on which a node has opened the liar's view."""
        state = self._state(node)
        if state is None or state.view != self._view or state.base is None:
            return None
        return state.base.rank
