"""What became final: who waits for it, and how long it took.

Waiting costs nothing per transaction unless somebody waits. SPEC A1, M1.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import trio

from cretonode.core.effects import Finalize
from cretonode.dag.payload import each_id
from cretonode.identifiers import TransactionId
from cretonode.node.batcher import Batcher
from cretonode.observability.histogram import LatencyHistogram

RECENT_LATENCIES: Final = 4096
FINALITY_BOUNDS_MS: Final = (10.0, 20, 40, 60, 80, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000)


@dataclass(slots=True)
class Finality:
    """Bound: as many waits as the HTTP interface admits requests."""

    batcher: Batcher
    sequences: int = 0
    vertices: int = 0
    transactions: int = 0  # executed since the start
    began: trio.Event = field(default_factory=trio.Event)  # something became final since the start
    histogram: LatencyHistogram = field(  # of own vertices, from created to final
        default_factory=lambda: LatencyHistogram(FINALITY_BOUNDS_MS)
    )
    latencies_ms: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT_LATENCIES))
    _waiting: dict[TransactionId, list[trio.Event]] = field(default_factory=dict)

    def on_finalize(self, effect: Finalize, now_ms: int) -> None:
        """Count, measure own vertices from acceptance, and wake who waits."""
        self.sequences += 1
        self.began.set()
        self.vertices += len(effect.vertices)
        for vertex, skipped, ids in zip(
            effect.vertices, effect.skipped, effect.transaction_ids, strict=True
        ):
            self.transactions += vertex.transaction_count - skipped.bit_count()
            accepted_ms = self.batcher.on_final(vertex.hash, ids)
            if accepted_ms is not None:
                self.latencies_ms.append(now_ms - accepted_ms)
                self.histogram.observe_ms(now_ms - vertex.timestamp_ms)
            if self._waiting:
                self._wake(ids)

    async def wait(self, transaction: TransactionId) -> None:
        """Return when `transaction` becomes final from now on."""
        event = trio.Event()
        self._waiting.setdefault(transaction, []).append(event)
        try:
            await event.wait()
        finally:
            events = self._waiting.get(transaction)
            if events is not None:
                events.remove(event)
                if not events:
                    del self._waiting[transaction]

    def _wake(self, transaction_ids: bytes) -> None:
        for transaction in each_id(transaction_ids):
            for event in self._waiting.get(transaction, ()):
                event.set()
