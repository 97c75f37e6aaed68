"""What the nodes themselves say: accusations, warnings, tracebacks, how they ended.

Nodes started with `ENVIRONMENT` log JSON and show every warning of Python.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from bench.throughput import metric
from chaos.watch import Overdue
from cretonode.cli.cluster import NodeProcess
from cretonode.cli.layout import NodeFiles

ENVIRONMENT: Final = {"CRETO_NODE_LOG_FORMAT": "json", "PYTHONWARNINGS": "default"}
ANNOUNCED: Final = ("QUIC ", "HTTP ", "metrics ")  # what `start` prints besides its log
UNPROVEN: Final = "timeout"  # the type of violation that load alone may cause
ACCUSING_METRICS: Final = (
    "cretoai_equivocations_detected",
    "cretoai_invalid_signatures_detected",
    'cretoai_refused_total{reason="equivocation"}',
    'cretoai_byzantine_violations_total{type="malformed"}',
    'cretoai_byzantine_violations_total{type="invalid_range"}',
    'cretoai_byzantine_violations_total{type="replay"}',
    'cretoai_byzantine_violations_total{type="view_change_spam"}',
    'cretoai_byzantine_violations_total{type="flood"}',
)


@dataclass(slots=True)
class Testimony:
    """What one node said in all its lives."""

    name: str
    accusations: list[str] = field(default_factory=list)  # of others
    accused: Counter[int] = field(default_factory=Counter)  # which validator, how often
    warnings: Counter[str] = field(default_factory=Counter)
    stray: list[str] = field(default_factory=list)  # lines that are no log lines: tracebacks
    started_at: list[int] = field(default_factory=list)  # final sequence from disk, each start
    ended: list[list[str]] = field(default_factory=list)  # threads at work, each orderly end


def read_log(files: NodeFiles) -> Testimony:
    """Read the log of a node."""
    found = Testimony(files.name)
    for line, event in _events(files):
        name = event.get("event")
        if not event:
            found.stray.append(f"{files.name}: {line}")
        elif name == "violation" and event.get("type") != UNPROVEN:
            found.accusations.append(f"{files.name}: {line}")
            found.accused[_whole(event.get("peer"))] += 1
        elif name == "running":
            found.started_at.append(_whole(event["final"]))
        elif name == "ended":
            found.ended.append(_texts(event["threads_at_work"]))
        elif event.get("level") in ("warn", "error"):
            found.warnings[str(name)] += 1
    return found


async def accusing_metrics(nodes: Sequence[NodeProcess]) -> list[str]:
    """Return the counters of `nodes` that accuse somebody. Raises: Overdue."""
    found = []
    async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
        for node in nodes:
            url = f"http://127.0.0.1:{node.files.metrics_port}/metrics"
            try:
                text = (await client.get(url)).text
            except httpx.HTTPError as error:
                raise Overdue(f"metrics of {node.files.name}: {error!r}") from error
            found += [
                f"{node.files.name}: {name} is {value:.0f}"
                for name in ACCUSING_METRICS
                if (value := metric(text, name))
            ]
    return found


def _events(files: NodeFiles) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each line with its fields; none: it is no log line."""
    for line in files.log_path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line or line.startswith(ANNOUNCED):
            continue
        try:
            event = json.loads(line)
        except ValueError:
            event = {}
        yield line, event if isinstance(event, dict) else {}


def _whole(value: object) -> int:
    assert isinstance(value, int), value
    return value


def _texts(value: object) -> list[str]:
    assert isinstance(value, list), value
    return [str(each) for each in value]
