"""Carrying out the effects of a turn: sign, write, sync, and only then let anybody know.

All that blocks happens in one job on one writer thread, so its order is the order of the
effects, and a write that has started is never abandoned. SPEC C8.
"""

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from cretonode.core import effects as effects_of_core
from cretonode.core.committee import Committee
from cretonode.core.effects import Effect, Finalize, Persist, Say, Stable
from cretonode.core.messages import VertexMessage
from cretonode.core.records import Promises
from cretonode.core.statements import statement_of
from cretonode.crypto.signatures import Signer
from cretonode.observability.histogram import LatencyHistogram
from cretonode.storage.journal import Journal
from cretonode.storage.store import StorageEffect, Store
from cretonode.wire.records import encode_record

BLOCKING: Final = (Persist, Say, Stable)
WRITE_BOUNDS_MS: Final = (0.5, 1.0, 2, 5, 10, 20, 50, 100, 500)
SYNCS_KEPT: Final = 256


@dataclass(slots=True)
class Performer:
    """The blocking half of the driver."""

    committee: Committee
    signer: Signer
    journal: Journal
    store: Store
    promises: Promises  # the live values of the journal, for rotation
    limiter: trio.CapacityLimiter
    # The database holds what no sync has covered; at start perhaps what a killed process left.
    _unsynced: bool = True
    write_latency: LatencyHistogram = field(
        default_factory=lambda: LatencyHistogram(WRITE_BOUNDS_MS)
    )
    syncs: int = 0  # of the journal, since the start
    syncs_ms: deque[float] = field(default_factory=lambda: deque(maxlen=SYNCS_KEPT))

    async def make_durable(self, effects: list[Effect]) -> list[Effect]:
        """Return the same effects, statements signed, once what must be on disk is."""
        if not any(isinstance(effect, BLOCKING) for effect in effects):
            # An unsynced write is a copy into memory: cheaper than the way to a thread and back.
            return self._write(effects)
        return await trio.to_thread.run_sync(self._write, effects, limiter=self.limiter)

    def _write(self, effects: list[Effect]) -> list[Effect]:
        effects = [self._signed(effect) for effect in effects]
        records = [effect.record for effect in effects if isinstance(effect, Persist)]
        rows: list[StorageEffect] = []
        for effect in effects:
            match effect:
                case Say(VertexMessage() as message):
                    rows.append(effects_of_core.Store(message))
                case effects_of_core.Store() | Finalize() | Stable():
                    rows.append(effect)
                case _:
                    pass
        if records:
            began_s = time.perf_counter()
            self.journal.append_synced([encode_record(record) for record in records])
            self.syncs += 1
            self.syncs_ms.append((time.perf_counter() - began_s) * 1000)
            for record in records:
                self.promises.apply(record)
        began_s = time.perf_counter()
        if rows:
            self.store.apply(rows, journal=self.journal.marker)
            self._unsynced = True
        if self._unsynced and any(isinstance(effect, Persist | Say) for effect in effects):
            # What was stored since the last sync, in this turn or before, is vouched for now.
            self.store.sync()
            self._unsynced = False
        if rows:
            self.write_latency.observe_ms((time.perf_counter() - began_s) * 1000)
        if any(isinstance(effect, Stable) for effect in effects):
            self._on_stable()
        return effects

    def _on_stable(self) -> None:
        """Let go of what the stable checkpoint made superfluous."""
        if self.journal.wants_rotation:
            self.journal.rotate([encode_record(record) for record in self.promises.records()])

    def _signed(self, effect: Effect) -> Effect:
        if not isinstance(effect, Say):
            return effect
        statement = statement_of(self.committee, effect.statement)
        return Say(replace(effect.statement, signature=self.signer.sign(statement)), effect.to)
