"""What the nodes say against each other, or in a panic, is heard."""

import json
from pathlib import Path

from chaos.evidence import read_log
from cretonode.cli.layout import NodeFiles


def files_with(place: Path, *lines: str) -> NodeFiles:
    files = NodeFiles(name="node0", directory=place, quic_port=1, http_port=2, metrics_port=3)
    files.log_path.write_text("\n".join(lines) + "\n")
    return files


def event(name: str, level: str = "info", **fields: object) -> str:
    return json.dumps({"timestamp": "t", "level": level, "event": name, **fields})


def test_a_quiet_life_leaves_nothing_to_say(tmp_path: Path) -> None:
    found = read_log(
        files_with(
            tmp_path,
            event("running", final=7),
            "QUIC     127.0.0.1:1",
            "HTTP     http://127.0.0.1:2",
            "metrics  http://127.0.0.1:3/metrics",
            event("ended", threads_at_work=[]),
        )
    )
    assert (found.accusations, found.stray, dict(found.warnings)) == ([], [], {})
    assert (found.started_at, found.ended) == ([7], [[]])


def test_accusations_warnings_tracebacks_and_threads_are_heard(tmp_path: Path) -> None:
    found = read_log(
        files_with(
            tmp_path,
            event("violation", "warn", peer=2, type="equivocation"),
            event("violation", "warn", peer=1, type="malformed"),
            event("quorum_missing", "error", reason="two are down"),
            "Traceback (most recent call last):",
            "sys:1: ResourceWarning: unclosed file",
            event("ended", threads_at_work=["flush"]),
        )
    )
    assert len(found.accusations) == 2
    assert dict(found.warnings) == {"quorum_missing": 1}
    assert len(found.stray) == 2
    assert found.ended == [["flush"]]
