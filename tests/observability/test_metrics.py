"""Source of the names: SPEC M1."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from cretonode.observability import process
from cretonode.observability.metrics import METRICS, MetricsCollector
from tests.observability.samples import BARE, FULL, FakeSource

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

REQUIRED = {
    "cretoai_vertices_proposed_total", "cretoai_vertices_finalized_total",
    "cretoai_finality_time_seconds", "cretoai_quorum_participation_ratio",
    "cretoai_view_changes_total", "cretoai_byzantine_violations_total",
    "cretoai_peers_connected", "cretoai_quic_connections_active", "cretoai_network_bytes_sent",
    "cretoai_network_bytes_received", "cretoai_quic_latency_seconds",
    "cretoai_message_queue_length", "cretoai_dag_vertices_total", "cretoai_dag_edges_total",
    "cretoai_rocksdb_disk_bytes", "cretoai_rocksdb_read_latency_seconds",
    "cretoai_rocksdb_write_latency_seconds", "cretoai_rocksdb_compaction_duration",
    "cretoai_equivocations_detected", "cretoai_invalid_signatures_detected",
    "cretoai_node_reputation_score", "cretoai_banned_nodes",
}  # fmt: skip
MAYBE_ABSENT = {
    "cretoai_byzantine_violations_total", "cretoai_quic_latency_seconds",
    "cretoai_dag_vertices_total", "cretoai_dag_edges_total", "cretoai_rocksdb_disk_bytes",
    "cretoai_rocksdb_read_latency_seconds", "cretoai_rocksdb_write_latency_seconds",
    "cretoai_node_reputation_score", "cretoai_banned_nodes", "cretoai_refused_total",
    "cretoai_datagrams_sent_total", "cretoai_datagrams_received_total",
    "cretoai_datagrams_dropped_total", "cretoai_handshakes_half_open",
    "cretoai_handshakes_refused_total", "cretoai_api_requests_total",
    "cretoai_api_requests_refused_total",
}  # fmt: skip


def text_of(sample: FakeSource) -> str:
    return MetricsCollector(sample).render().decode()


def types_in(text: str) -> dict[str, str]:
    """Return the type by the name exactly as it is written."""
    lines = (line.split() for line in text.splitlines() if line.startswith("# TYPE "))
    return {name: kind for _, _, name, kind in lines}


def values_in(text: str) -> dict[str, float]:
    """Return the value by what stands before it, exactly as it is written."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_every_required_name_is_exposed_as_it_is_required() -> None:
    exposed = types_in(text_of(FakeSource(FULL)))
    assert exposed.keys() >= REQUIRED
    assert exposed == {metric.name: metric.kind.value for metric in METRICS}


def test_a_value_stands_under_its_metrics_own_name() -> None:
    """prometheus_client would write `cretoai_equivocations_detected_total`."""
    values = values_in(text_of(FakeSource(FULL)))
    assert values["cretoai_equivocations_detected"] == 1
    assert values["cretoai_network_bytes_sent"] == 12_345
    assert values["cretoai_vertices_finalized_total"] == 17
    assert values['cretoai_refused_total{reason="old_view"}'] == 8
    assert values['cretoai_refused_total{reason="equivocation"}'] == 0
    assert math.isnan(values["cretoai_rocksdb_compaction_duration"])


def test_the_librarys_parser_reads_the_same_values_back() -> None:
    families = {f.name: f for f in text_string_to_metric_families(text_of(FakeSource(FULL)))}
    assert len(families) == len(METRICS)
    assert families["cretoai_view"].type == "gauge"
    assert families["cretoai_vertices_proposed"].type == "counter"
    assert families["cretoai_equivocations_detected"].type == "counter"
    assert families["cretoai_finality_time_seconds"].type == "histogram"
    for metric in METRICS:
        counted = metric.kind == "counter"
        documented = families[metric.name.removesuffix("_total") if counted else metric.name]
        assert documented.documentation == metric.definition
        assert documented.samples
    reputation = families["cretoai_node_reputation_score"].samples
    assert {s.labels["node"]: s.value for s in reputation} == FULL.reputation


def test_a_histogram_is_cumulative_and_in_seconds() -> None:
    values = values_in(text_of(FakeSource(FULL)))
    name = "cretoai_finality_time_seconds"
    assert values[f'{name}_bucket{{le="0.4"}}'] == 0
    assert values[f'{name}_bucket{{le="0.5"}}'] == 1
    assert values[f'{name}_bucket{{le="0.6"}}'] == 2
    assert values[f'{name}_bucket{{le="30.0"}}'] == 2
    assert values[f'{name}_bucket{{le="+Inf"}}'] == values[f"{name}_count"] == 3
    assert values[f"{name}_sum"] == pytest.approx(61.0001)
    assert values["cretoai_rocksdb_read_latency_seconds_count"] == 0


def test_what_the_node_does_not_know_is_absent() -> None:
    bare = types_in(text_of(FakeSource(BARE)))
    assert {metric.name for metric in METRICS} - bare.keys() == MAYBE_ABSENT


def test_two_scrapes_of_the_same_state_are_the_same_bytes() -> None:
    source = FakeSource(FULL)
    collector = MetricsCollector(source)
    assert collector.render() == collector.render()
    assert source.asked == 2
    turned = replace(FULL, refused=dict(reversed(list(FULL.refused.items()))))
    assert MetricsCollector(FakeSource(turned)).render() == collector.render()


def test_whole_numbers_of_any_size_are_exact() -> None:
    assert "cretoai_transactions_executed_total 9007199254740993\n" in text_of(FakeSource(BARE))


def test_a_label_cannot_end_its_line() -> None:
    lines = text_of(FakeSource(FULL)).splitlines()
    assert r'cretoai_node_reputation_score{node="back\\slash\nline"} 1.0' in lines
    assert r'cretoai_node_reputation_score{node="quoted \"name\""} 0.25' in lines


def test_the_collector_fits_a_registry_of_the_library() -> None:
    registry = CollectorRegistry()
    registry.register(MetricsCollector(FakeSource(FULL)))
    assert registry.get_sample_value("cretoai_view") == 3
    assert registry.get_sample_value("cretoai_equivocations_detected") == 1
    assert registry.get_sample_value("cretoai_refused_total", {"reason": "old_view"}) == 8


def test_a_sample_knows_its_own_process() -> None:
    assert process.cpu_seconds() > 0
    assert process.resident_bytes() > 1_000_000


def test_the_documentation_lists_exactly_these_metrics() -> None:
    rows = [
        tuple(cell.strip().strip("`") for cell in line.strip("|").split("|"))
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `cretoai_")
    ]
    assert rows == [(m.name, m.kind.value, m.label, m.definition) for m in METRICS]
