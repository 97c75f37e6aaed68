"""The metrics of a node: their names, types and definitions.

Nothing is counted here. At each scrape the node hands over one sample of what its parts have
counted anyway, so a metric costs nothing for a message. A metric that the node has no value for
yet is absent. Source: SPEC M1; docs/metrics.md shows the same table to operators.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from typing import Final, Protocol, TypeAlias

from prometheus_client.core import HistogramMetricFamily, Metric

from cretonode.identifiers import SequenceNumber, View
from cretonode.observability import process
from cretonode.observability.histogram import HistogramSample


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSample:
    """What a node has counted since its start, and where it stands. None or empty: not known.

    Keys are bounded: violation types, refusal reasons, and the names of validators. Give every
    key from the start, with 0: a counter that appears late hides its first increase from `rate`.
    """

    # consensus
    view: View
    sequence_final: SequenceNumber
    vertices_proposed: int
    vertices_finalized: int
    transactions_executed: int
    transactions_waiting: int
    view_changes: int
    participation_ratio: float
    finality: HistogramSample
    message_queue_length: int
    refused: Mapping[str, float] = field(default_factory=dict)  # by reason
    # Byzantine behaviour
    equivocations: int
    invalid_signatures: int
    signatures_verified: int
    # catching up
    catch_up_remaining: int
    catch_up_vertices: int
    catch_up_bytes: int
    catch_up_failures: int
    # Byzantine behaviour, judged
    violations: Mapping[str, float] = field(default_factory=dict)  # by type
    reputation: Mapping[str, float] = field(default_factory=dict)  # by node name
    banned_nodes: int | None = None
    # network
    peers_connected: int
    quic_connections: int
    network_bytes_sent: int
    network_bytes_received: int
    quic_latency: HistogramSample | None = None
    datagrams_sent: int | None = None
    datagrams_received: int | None = None
    datagrams_dropped: Mapping[str, float] = field(default_factory=dict)  # by reason
    handshakes_half_open: int | None = None
    handshakes_refused: Mapping[str, float] = field(default_factory=dict)  # by reason
    # clients
    api_requests: int | None = None
    api_requests_refused: int | None = None
    # storage
    dag_vertices: int | None = None
    dag_edges: int | None = None
    disk_bytes: int | None = None
    read_latency: HistogramSample | None = None
    write_latency: HistogramSample | None = None
    compaction_seconds: float = math.nan
    # this process
    cpu_seconds: float = field(default_factory=process.cpu_seconds)
    resident_bytes: int = field(default_factory=process.resident_bytes)


class MetricsSource(Protocol):
    """What a scrape needs of a node. Satisfied by `node.service`."""

    def sample(self) -> MetricsSample:
        """Return everything as it stands. Called in trio's thread; does not wait."""


class Kind(StrEnum):
    """The types of Prometheus that occur."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


Reading: TypeAlias = float | HistogramSample | Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: `label` is the name of its only label, or empty."""

    name: str
    kind: Kind
    definition: str
    read: Callable[[MetricsSample], Reading]
    label: str = ""


METRICS: Final = (
    Definition(
        "cretoai_vertices_proposed_total",
        Kind.COUNTER,
        "Vertices this node made and sent.",
        lambda s: s.vertices_proposed,
    ),
    Definition(
        "cretoai_vertices_finalized_total",
        Kind.COUNTER,
        "Vertices of all validators that became final here.",
        lambda s: s.vertices_finalized,
    ),
    Definition(
        "cretoai_finality_time_seconds",
        Kind.HISTOGRAM,
        "From accepting a vertex's transactions here to their finality here.",
        lambda s: s.finality,
    ),
    Definition(
        "cretoai_quorum_participation_ratio",
        Kind.GAUGE,
        "Distinct signers of the last commit certificate, divided by the number of validators.",
        lambda s: s.participation_ratio,
    ),
    Definition(
        "cretoai_view_changes_total",
        Kind.COUNTER,
        "Views entered since the start.",
        lambda s: s.view_changes,
    ),
    Definition(
        "cretoai_byzantine_violations_total",
        Kind.COUNTER,
        "Violations of the protocol noted here, by type.",
        lambda s: s.violations,
        "type",
    ),
    Definition(
        "cretoai_peers_connected",
        Kind.GAUGE,
        "Other validators whose hello has come.",
        lambda s: s.peers_connected,
    ),
    Definition(
        "cretoai_quic_connections_active",
        Kind.GAUGE,
        "QUIC connections that are established.",
        lambda s: s.quic_connections,
    ),
    Definition(
        "cretoai_network_bytes_sent",
        Kind.COUNTER,
        "Bytes of UDP datagrams sent to peers.",
        lambda s: s.network_bytes_sent,
    ),
    Definition(
        "cretoai_network_bytes_received",
        Kind.COUNTER,
        "Bytes of UDP datagrams received.",
        lambda s: s.network_bytes_received,
    ),
    Definition(
        "cretoai_quic_latency_seconds",
        Kind.HISTOGRAM,
        "Round trips to peers, as QUIC measures them.",
        lambda s: s.quic_latency,
    ),
    Definition(
        "cretoai_message_queue_length",
        Kind.GAUGE,
        "Verified messages and own events that wait for the replica.",
        lambda s: s.message_queue_length,
    ),
    Definition(
        "cretoai_dag_vertices_total",
        Kind.COUNTER,
        "Vertices in the database, final or not.",
        lambda s: s.dag_vertices,
    ),
    Definition(
        "cretoai_dag_edges_total",
        Kind.COUNTER,
        "Edges from parent to child in the database.",
        lambda s: s.dag_edges,
    ),
    Definition(
        "cretoai_rocksdb_disk_bytes",
        Kind.GAUGE,
        "Bytes of the database's files on disk.",
        lambda s: s.disk_bytes,
    ),
    Definition(
        "cretoai_rocksdb_read_latency_seconds",
        Kind.HISTOGRAM,
        "Single reads of the database.",
        lambda s: s.read_latency,
    ),
    Definition(
        "cretoai_rocksdb_write_latency_seconds",
        Kind.HISTOGRAM,
        "Batches written to the database.",
        lambda s: s.write_latency,
    ),
    Definition(
        "cretoai_rocksdb_compaction_duration",
        Kind.GAUGE,
        "Seconds that compactions took since the start; NaN when the database does not say.",
        lambda s: s.compaction_seconds,
    ),
    Definition(
        "cretoai_equivocations_detected",
        Kind.COUNTER,
        "Pairs of signed statements that contradict each other.",
        lambda s: s.equivocations,
    ),
    Definition(
        "cretoai_invalid_signatures_detected",
        Kind.COUNTER,
        "Signatures of peers that did not verify.",
        lambda s: s.invalid_signatures,
    ),
    Definition(
        "cretoai_node_reputation_score",
        Kind.GAUGE,
        "Reputation of a validator in this node's judgement, 0 to 1; below 0.3 it is banned.",
        lambda s: s.reputation,
        "node",
    ),
    Definition(
        "cretoai_banned_nodes",
        Kind.GAUGE,
        "Validators this node has banned.",
        lambda s: s.banned_nodes,
    ),
    Definition(
        "cretoai_view",
        Kind.GAUGE,
        "The view this node is in.",
        lambda s: s.view,
    ),
    Definition(
        "cretoai_sequence_final",
        Kind.GAUGE,
        "The last sequence that is final here.",
        lambda s: s.sequence_final,
    ),
    Definition(
        "cretoai_transactions_executed_total",
        Kind.COUNTER,
        "Transactions that became final here, each once.",
        lambda s: s.transactions_executed,
    ),
    Definition(
        "cretoai_transactions_waiting",
        Kind.GAUGE,
        "Transactions accepted here that are not final.",
        lambda s: s.transactions_waiting,
    ),
    Definition(
        "cretoai_signatures_verified_total",
        Kind.COUNTER,
        "Signatures of peers that verified.",
        lambda s: s.signatures_verified,
    ),
    Definition(
        "cretoai_catch_up_remaining_sequences",
        Kind.GAUGE,
        "Sequences that are certified elsewhere and not final here.",
        lambda s: s.catch_up_remaining,
    ),
    Definition(
        "cretoai_catch_up_vertices_total",
        Kind.COUNTER,
        "Vertices fetched from peers to catch up.",
        lambda s: s.catch_up_vertices,
    ),
    Definition(
        "cretoai_catch_up_bytes_total",
        Kind.COUNTER,
        "Payload and signature bytes of these vertices.",
        lambda s: s.catch_up_bytes,
    ),
    Definition(
        "cretoai_catch_up_failures_total",
        Kind.COUNTER,
        "Answers of peers to catch-up requests that were wrong, late or not whole.",
        lambda s: s.catch_up_failures,
    ),
    Definition(
        "cretoai_refused_total",
        Kind.COUNTER,
        "Messages of peers the replica refused, by reason.",
        lambda s: s.refused,
        "reason",
    ),
    Definition(
        "cretoai_datagrams_sent_total",
        Kind.COUNTER,
        "UDP datagrams sent to peers.",
        lambda s: s.datagrams_sent,
    ),
    Definition(
        "cretoai_datagrams_received_total",
        Kind.COUNTER,
        "UDP datagrams received, from whomever.",
        lambda s: s.datagrams_received,
    ),
    Definition(
        "cretoai_datagrams_dropped_total",
        Kind.COUNTER,
        "UDP datagrams that met no connection, or no room to be sent, by reason.",
        lambda s: s.datagrams_dropped,
        "reason",
    ),
    Definition(
        "cretoai_handshakes_half_open",
        Kind.GAUGE,
        "Handshakes that others began here and have not finished.",
        lambda s: s.handshakes_half_open,
    ),
    Definition(
        "cretoai_handshakes_refused_total",
        Kind.COUNTER,
        "Handshakes, of either side, that did not end in a connection, by reason.",
        lambda s: s.handshakes_refused,
        "reason",
    ),
    Definition(
        "cretoai_api_requests_total",
        Kind.COUNTER,
        "Requests of clients over HTTP.",
        lambda s: s.api_requests,
    ),
    Definition(
        "cretoai_api_requests_refused_total",
        Kind.COUNTER,
        "Requests turned away before they were looked at: too many, too large, too slow.",
        lambda s: s.api_requests_refused,
    ),
    Definition(
        "cretoai_process_cpu_seconds_total",
        Kind.COUNTER,
        "Processor time of this process, user and system.",
        lambda s: s.cpu_seconds,
    ),
    Definition(
        "cretoai_process_resident_memory_bytes",
        Kind.GAUGE,
        "Memory of this process that is in RAM.",
        lambda s: s.resident_bytes,
    ),
)
assert len({metric.name for metric in METRICS}) == len(METRICS)


class MetricsCollector:
    """A collector of prometheus_client: reads its source at each scrape."""

    def __init__(self, source: MetricsSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield the families of the metrics that have a value, in the order of METRICS."""
        sample = self._source.sample()
        for metric in METRICS:
            reading = metric.read(sample)
            if reading is not None and reading != {}:
                yield _family(metric, reading)

    def render(self) -> bytes:
        """Return the text exposition format, version 0.0.4.

        `prometheus_client.generate_latest` would call every counter `..._total` in its TYPE line;
        SPEC M1 has counters of other names. OpenMetrics forbids those, so it is not offered.
        """
        return "".join(line for family in self.collect() for line in _lines(family)).encode()


def _family(metric: Definition, reading: float | HistogramSample | Mapping[str, float]) -> Metric:
    if isinstance(reading, HistogramSample):
        return HistogramMetricFamily(
            metric.name,
            metric.definition,
            buckets=_cumulative(reading),
            sum_value=reading.sum_ms / 1000,
        )
    # By the library's convention a counter's family has the name without `_total`.
    counted = metric.kind is Kind.COUNTER
    name = metric.name.removesuffix("_total") if counted else metric.name
    family = Metric(name, metric.definition, metric.kind.value)
    if isinstance(reading, Mapping):
        for key in sorted(reading):
            family.add_sample(metric.name, {metric.label: key}, reading[key])
    else:
        family.add_sample(metric.name, {}, reading)
    return family


def _cumulative(sample: HistogramSample) -> list[tuple[str, float]]:
    """Return (upper bound in seconds, observations up to it), the last one without bound."""
    bounds = [_number(bound / 1000) for bound in sample.bounds_ms] + ["+Inf"]
    return list(zip(bounds, accumulate(sample.counts), strict=True))


def _lines(family: Metric) -> Iterator[str]:
    """Yield the lines of a family that has samples. Source: Prometheus, "Exposition formats"."""
    name = family.samples[0].name if family.type == Kind.COUNTER else family.name
    help_ = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {help_}\n# TYPE {name} {family.type}\n"
    for sample in family.samples:
        labels = ",".join(f'{key}="{_escaped(text)}"' for key, text in sample.labels.items())
        braces = f"{{{labels}}}" if labels else ""
        yield f"{sample.name}{braces} {_number(sample.value)}\n"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value)
