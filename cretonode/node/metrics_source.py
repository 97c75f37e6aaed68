"""One sample of everything the node's parts count anyway. Satisfies `MetricsSource`."""

from dataclasses import dataclass
from typing import Final

from cretonode.api.gate import ApiCounters
from cretonode.core.effects import Reason
from cretonode.core.reputation import Violation
from cretonode.network.admission import Drop
from cretonode.network.endpoint import Endpoint
from cretonode.network.quic_engine import CloseKind
from cretonode.node.driver import Driver
from cretonode.node.service import Service
from cretonode.observability.metrics import MetricsSample

DROP_REASONS: Final = (*(drop.value for drop in Drop), "send")


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """Read at each scrape."""

    driver: Driver
    service: Service
    endpoint: Endpoint
    api: ApiCounters

    def sample(self) -> MetricsSample:
        """See MetricsSource."""
        driver, state = self.driver, self.driver.replica.state
        counters = self.endpoint.counters
        database = driver.performer.store.backend.metrics()
        return MetricsSample(
            view=state.view,
            sequence_final=state.final,
            vertices_proposed=driver.counts.vertices_proposed,
            vertices_finalized=driver.finality.vertices,
            transactions_executed=driver.finality.transactions,
            transactions_waiting=len(driver.batcher),
            view_changes=driver.counts.views_entered,
            participation_ratio=driver.counts.participation,
            finality=driver.finality.histogram.sample(),
            message_queue_length=len(driver.inbox),
            refused={
                reason.name.lower(): driver.counts.refused.get(reason.name.lower(), 0)
                for reason in Reason
            },
            equivocations=driver.counts.equivocations,
            violations={
                violation.value: driver.bans.reputation.counts[violation] for violation in Violation
            },
            reputation={view.name: view.score for view in self.service.reputation()},
            banned_nodes=len(driver.bans.in_force),
            invalid_signatures=driver.links.invalid_signatures,
            signatures_verified=driver.links.verified_signatures,
            peers_connected=len(driver.links.connected()),
            quic_connections=self.endpoint.connections_established,
            network_bytes_sent=counters.bytes_out,
            network_bytes_received=counters.bytes_in,
            datagrams_sent=counters.datagrams_out,
            datagrams_received=counters.datagrams_in,
            datagrams_dropped={
                reason: counters.datagrams_dropped[reason] for reason in DROP_REASONS
            },
            handshakes_half_open=self.endpoint.half_open,
            handshakes_refused={
                kind.value: counters.handshakes_refused[kind.value] for kind in CloseKind
            },
            api_requests=self.api.requests,
            api_requests_refused=self.api.requests_refused,
            disk_bytes=database.disk_bytes,
            write_latency=driver.performer.write_latency.sample(),
            compaction_seconds=database.compaction_micros / 1_000_000,
        )
