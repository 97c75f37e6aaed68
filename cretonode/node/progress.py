"""How fast a node that is behind catches up, and how much is left. SPEC C9.

Sampled while ranges are fetched; read by status, readiness, metrics and one log line every few
seconds.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Never

import structlog
import trio

from cretonode.core.replica import Replica
from cretonode.node.finality import Finality

SAMPLE_S: Final = 0.5
SAMPLES_KEPT: Final = 11  # rates are those of the last five seconds
LOG_SAMPLES: Final = 6  # from one log line to the next
UNREADY_SEQUENCES: Final = 64  # further behind, the node is not ready to be asked
MEGABYTE: Final = 1_000_000

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """Where the node was."""

    at_s: float
    final: int
    target: int
    transactions: int
    fetched_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Over the last seconds."""

    sequences_per_s: float
    transactions_per_s: float
    megabytes_per_s: float
    remaining_s: float | None  # None: the end does not come nearer


@dataclass(slots=True)
class Progress:
    """Bound: SAMPLES_KEPT samples."""

    replica: Replica
    finality: Finality
    _samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES_KEPT))

    @property
    def remaining(self) -> int:
        """How many sequences are certified elsewhere and not final here."""
        return self.replica.catch_up.target - self.replica.state.final

    def describe(self) -> str:
        """Return what an operator wants to know; empty while the node is not far behind."""
        if not self.replica.state.behind or self.remaining <= UNREADY_SEQUENCES:
            return ""
        text = f"catching up: {self.remaining} sequences behind"
        rates = self.rates()
        if rates is None:
            return text
        left = "not getting nearer"
        if rates.remaining_s is not None:
            left = f"about {max(1, round(rates.remaining_s))} s left"
        return (
            f"{text}, {rates.sequences_per_s:.0f} sequences/s, "
            f"{rates.transactions_per_s:.0f} transactions/s, {rates.megabytes_per_s:.1f} MB/s, "
            f"{left}"
        )

    def rates(self) -> Rates | None:
        """Return the rates of the last seconds; None with fewer than two samples."""
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at_s - first.at_s
        closed = (first.target - first.final) - (last.target - last.final)
        behind = last.target - last.final
        return Rates(
            sequences_per_s=(last.final - first.final) / seconds,
            transactions_per_s=(last.transactions - first.transactions) / seconds,
            megabytes_per_s=(last.fetched_bytes - first.fetched_bytes) / seconds / MEGABYTE,
            remaining_s=behind * seconds / closed if closed > 0 else None,
        )

    def sample(self, at_s: float) -> None:
        """Note where the node is; what was before it fell behind does not count."""
        if not self.replica.state.behind:
            self._samples.clear()
            return
        catch_up = self.replica.catch_up
        self._samples.append(
            Sample(
                at_s,
                self.replica.state.final,
                catch_up.target,
                self.finality.transactions,
                catch_up.bodies.fetched_bytes,
            )
        )

    async def run(self) -> Never:
        """Sample and log until cancelled."""
        began: Sample | None = None
        count = 0
        while True:
            await trio.sleep(SAMPLE_S)
            self.sample(trio.current_time())
            if self._samples:
                began = began or self._samples[0]
                count += 1
                if count % LOG_SAMPLES == 1:
                    self._log_on()
            elif began is not None:
                self._log_level(began)
                began, count = None, 0

    def _log_on(self) -> None:
        rates = self.rates()
        log.info(
            "catching_up",
            sequence=self.replica.state.final,
            remaining=self.remaining,
            sequences_per_s=round(rates.sequences_per_s) if rates else None,
            transactions_per_s=round(rates.transactions_per_s) if rates else None,
            megabytes_per_s=round(rates.megabytes_per_s, 1) if rates else None,
            remaining_s=round(rates.remaining_s) if rates and rates.remaining_s else None,
            failures=self.replica.catch_up.failures + self.replica.catch_up.bodies.failures,
        )

    def _log_level(self, began: Sample) -> None:
        log.info(
            "caught_up",
            sequence=self.replica.state.final,
            sequences=self.replica.state.final - began.final,
            transactions=self.finality.transactions - began.transactions,
            elapsed_ms=round((trio.current_time() - began.at_s) * 1000),
        )
