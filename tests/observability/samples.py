"""A node's sample with a different number in every place."""

from cretonode.identifiers import SequenceNumber, View
from cretonode.observability.histogram import (
    FINALITY_BOUNDS_MS,
    NETWORK_BOUNDS_MS,
    STORAGE_BOUNDS_MS,
    HistogramSample,
    LatencyHistogram,
)
from cretonode.observability.metrics import MetricsSample


def histogram(bounds_ms: tuple[float, ...], *elapsed_ms: float) -> HistogramSample:
    made = LatencyHistogram(bounds_ms)
    for value in elapsed_ms:
        made.observe_ms(value)
    return made.sample()


BARE = MetricsSample(
    view=View(3),
    sequence_final=SequenceNumber(41),
    vertices_proposed=5,
    vertices_finalized=17,
    transactions_executed=9_007_199_254_740_993,  # no float holds it
    transactions_waiting=12,
    view_changes=2,
    participation_ratio=0.75,
    finality=histogram(FINALITY_BOUNDS_MS, 500.0, 500.1, 60_000.0),
    message_queue_length=7,
    equivocations=1,
    invalid_signatures=4,
    signatures_verified=1_000,
    catch_up_remaining=0,
    catch_up_vertices=0,
    catch_up_bytes=0,
    catch_up_failures=0,
    peers_connected=3,
    quic_connections=6,
    network_bytes_sent=12_345,
    network_bytes_received=54_321,
    cpu_seconds=1.5,
    resident_bytes=100_000_000,
)

FULL = MetricsSample(
    view=View(3),
    sequence_final=SequenceNumber(41),
    vertices_proposed=5,
    vertices_finalized=17,
    transactions_executed=999,
    transactions_waiting=12,
    view_changes=2,
    participation_ratio=0.75,
    finality=BARE.finality,
    message_queue_length=7,
    refused={"old_view": 8, "equivocation": 0},
    equivocations=1,
    invalid_signatures=4,
    signatures_verified=1_000,
    catch_up_remaining=640,
    catch_up_vertices=2_000,
    catch_up_bytes=70_000_000,
    catch_up_failures=3,
    violations={"replay": 2},
    reputation={'quoted "name"': 0.25, "back\\slash\nline": 1.0},
    banned_nodes=0,
    peers_connected=3,
    quic_connections=6,
    network_bytes_sent=12_345,
    network_bytes_received=54_321,
    quic_latency=histogram(NETWORK_BOUNDS_MS, 0.2),
    datagrams_sent=70,
    datagrams_received=71,
    datagrams_dropped={"not_quic": 6, "send": 0},
    handshakes_half_open=9,
    handshakes_refused={"unknown_key": 11},
    api_requests=80,
    api_requests_refused=13,
    dag_vertices=100,
    dag_edges=300,
    disk_bytes=1 << 30,
    read_latency=histogram(STORAGE_BOUNDS_MS),
    write_latency=histogram(STORAGE_BOUNDS_MS, 10.0),
    cpu_seconds=1.5,
    resident_bytes=100_000_000,
)


class FakeSource:
    """A MetricsSource that counts how often it is asked."""

    def __init__(self, sample: MetricsSample) -> None:
        self.given = sample
        self.asked = 0

    def sample(self) -> MetricsSample:
        self.asked += 1
        return self.given
