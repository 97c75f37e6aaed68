"""A validator that lies: the real node, key and network, but what it says goes through a behaviour.

`python -m chaos.liar --behaviour votes-twice start --config node.toml`. The behaviours are the
simulator's. It is honest until SIGUSR1, so that everything works before the first lie. Whatever
its own lies do to its core ends the process: whoever started it starts it again.

Never part of the product: `cretonode` and the wheel know nothing of it.
"""

import os
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Final, Never

import click
import structlog
import trio

from chaos.floods import FLOODS
from cretonode.cli.base import reported
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.core.effects import Effect, Say, Send, Serve
from cretonode.core.events import Event, Received
from cretonode.core.messages import Message, PrePrepare, VertexMessage
from cretonode.core.state import NEVER_MS
from cretonode.core.statements import statement_of
from cretonode.crypto.canonical import encode
from cretonode.crypto.signatures import Signer
from cretonode.identifiers import AuthorIndex, ValidatorIndex
from cretonode.network.endpoint import Endpoint
from cretonode.node.disk import Disk
from cretonode.node.driver import Driver
from cretonode.node.host import bound_arenas, end_with_parent
from cretonode.node.links import priority_of
from cretonode.node.node import Identity, Parts, assemble, run_node
from cretonode.node.signals import own_signals
from cretonode.observability.logs import configure
from cretonode.storage.store import Store
from cretonode.wire.messages import NUMBERS, encode_message
from tests.simulation.byzantine import BEHAVIOURS
from tests.simulation.byzantine.behaviour import Behaviour, S, Setting

BEGIN: Final = signal.SIGUSR1
REPORT_S: Final = 1.0
DRAWS_MAX: Final = 64
# Without spaces, so that a name is one word on a command line.
KNOWN: Final[dict[str, type[Behaviour]]] = {
    name.replace(" ", "-"): kind
    for name, kind in {**BEHAVIOURS, **FLOODS, "none": Behaviour}.items()
}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(kw_only=True)  # without slots: a class with them is made twice, and `super()` is lost
class LyingDriver(Driver):
    """Steps an honest core; what it wants said goes through `behaviour`, as in the simulator."""

    behaviour: Behaviour
    store: Store
    proposed: dict[tuple[int, int], bytes] = field(default_factory=dict)  # anchor of each slot
    equivocated: bool = False

    def begin(self, lie: Behaviour) -> None:
        """Be dishonest from now on; `lie` goes on from what the honest time left."""
        honest = self.behaviour
        lie.view, lie.entered_ms, lie.highs = honest.view, honest.entered_ms, honest.highs
        lie.now_ms = self.clock.now_ms()
        self.behaviour = lie
        log.warning("lying", behaviour=type(lie).__name__, view=lie.view)
        self.inbox.wake()

    async def _turn(self, events: list[Event]) -> None:
        await super()._turn([event for event in events if self._hears(event)])

    def _hears(self, event: Event) -> bool:
        if not isinstance(event, Received) or event.sender == self.replica.state.me:
            return True
        return self.behaviour.hears(event.sender, event.message, self.clock.now_ms())

    def _timeout_s(self) -> float:
        deadline_ms = self.behaviour.deadline_ms()
        honest_s = super()._timeout_s()
        if deadline_ms >= NEVER_MS:
            return honest_s
        return min(honest_s, (deadline_ms - self.clock.now_ms()) / 1000 + 0.001)

    async def _perform(self, effects: list[Effect]) -> None:
        done = await self.performer.make_durable(effects)
        for peer, message in self.behaviour.outgoing(done, self.clock.now_ms(), self._stored):
            self._post(peer, message)
        # Else the core would take its own lies for those of a copy with the same key, and halt.
        proposer = self.replica.proposer
        proposer.index = AuthorIndex(max(proposer.index, self.behaviour.own_index))
        for effect in done:
            self._dispatch(effect)
        self.links.flush()

    def _dispatch(self, effect: Effect) -> None:
        match effect:
            case Send() | Serve():
                pass  # the behaviour has sent what it makes of it
            case Say(statement):
                if isinstance(statement, VertexMessage):
                    self.batcher.on_durable(statement, self.clock.now_ms())
                self.inbox.put_own(Received(self.replica.state.me, statement))
            case _:
                super()._dispatch(effect)

    def _stored(self, request: Serve) -> Sequence[Message]:
        if request.count:
            return [self.store.serve_headers(request.first, request.count)]
        return list(self.store.serve_vertices(request.vertices))

    def _post(self, peer: ValidatorIndex, message: Message) -> None:
        if isinstance(message, PrePrepare):
            self._note_proposal(message)
        self.links.channels[peer].send(priority_of(message), encode_lie(message))

    def _note_proposal(self, proposal: PrePrepare) -> None:
        """Log the first time that one slot is proposed with two anchors."""
        slot = (proposal.view, proposal.sequence)
        first = self.proposed.setdefault(slot, proposal.anchor)
        if first != proposal.anchor and not self.equivocated:
            self.equivocated = True
            log.warning("equivocated", view=proposal.view, sequence=proposal.sequence)


def encode_lie(message: Message) -> bytes:
    """Return the encoding of a message, also of a vertex that breaks the bounds on payloads."""
    if isinstance(message, VertexMessage) and len(message.payload) != message.vertex.payload_bytes:
        payload = message.payload.ljust(message.vertex.payload_bytes, b"\0")
        number = NUMBERS[VertexMessage]
        return encode([number, message.vertex.header(), payload, message.signature])
    return encode_message(message)


def make_behaviour(
    name: str, config: Config, identity: Identity, signer: Signer, seed: int
) -> Behaviour:
    """Return the liar called `name`, which treats some peers differently from others."""
    committee = identity.committee

    def sign(statement: S) -> S:
        signature = signer.sign(statement_of(committee, statement))
        return replace(statement, signature=signature)

    kind = KNOWN[name]
    for draw in range(DRAWS_MAX):
        setting = Setting(
            committee=committee,
            me=identity.me,
            sign=sign,
            rng=random.Random(f"{seed} {draw}"),
            timeout_ms=config.consensus.timing.view_change_timeout_ms,
        )
        found = kind(setting)
        if 0 < len(found.half) < len(found.peers):
            return found
    return found


async def lie(config: Config, name: str, *, seed: int, rate: float | None) -> None:
    """Run the node; lie from SIGUSR1 on. Raises: what `run_node` does, and what lies break."""
    ready = trio.Event()
    made: list[tuple[LyingDriver, Behaviour]] = []

    def join(config: Config, identity: Identity, disk: Disk, endpoint: Endpoint) -> Parts:
        parts = assemble(config, identity, disk, endpoint)
        signer = parts.driver.performer.signer
        wanted = make_behaviour(name, config, identity, signer, seed)
        if rate is not None:
            wanted.rate = rate
        honest = Behaviour(
            Setting(
                committee=identity.committee,
                me=identity.me,
                sign=wanted.sign,
                rng=random.Random(seed),
                timeout_ms=wanted.timeout_ms,
            )
        )
        joined = {each.name: getattr(parts.driver, each.name) for each in fields(Driver)}
        driver = LyingDriver(**joined, behaviour=honest, store=disk.store)
        made.append((driver, wanted))
        ready.set()
        return replace(parts, driver=driver)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_begin_on_signal, ready, made)
        await run_node(config, join=join)
        nursery.cancel_scope.cancel()


async def _begin_on_signal(
    ready: trio.Event, made: Sequence[tuple[LyingDriver, Behaviour]]
) -> Never:
    with trio.open_signal_receiver(BEGIN) as signals:
        await ready.wait()
        driver, wanted = made[0]
        async for _ in signals:
            if driver.behaviour is not wanted:
                wanted.restarted()
                driver.begin(wanted)
                break
        acts = 0
        while True:
            await trio.sleep(REPORT_S)
            if wanted.acts != acts:
                acts = wanted.acts
                log.info("lied", acts=acts)


@click.command()
@click.argument("command", type=click.Choice(["start"]))
@click.option("--behaviour", type=click.Choice(sorted(KNOWN)), required=True)
@click.option("--seed", type=int, default=0, help="Fixes what the liar draws.")
@click.option("--rate", type=float, help="How often to lie, 0 to 1; else drawn.")
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this ends.")
@click.option("--config", "config_path", type=click.Path(path_type=Path, dir_okay=False))
@reported
def main(
    command: str,  # noqa: ARG001  so that its command line ends as that of a node
    behaviour: str,
    seed: int,
    rate: float | None,
    config_path: Path | None,
    *,
    with_parent: bool,
) -> None:
    """Run a validator that lies from SIGUSR1 on."""
    if with_parent:
        end_with_parent()
    bound_arenas()
    config = load(config_path, environment=os.environ, flags={})
    configure(config.node.log_level, config.node.log_format)
    with own_signals():
        trio.run(partial(lie, config, behaviour, seed=seed, rate=rate))


def program(behaviour: str, *, seed: int, rate: float | None = None) -> tuple[str, ...]:
    """Return what Python runs for this liar."""
    named = ("-m", "chaos.liar", "--behaviour", behaviour, "--seed", str(seed))
    return named if rate is None else (*named, "--rate", str(rate))


if __name__ == "__main__":
    main()
