"""Times that are read from logs are worth what the reading is."""

from pathlib import Path

from chaos.liar_process import Liar
from chaos.timeline import first, moments
from cretonode.cli.cluster import NodeProcess
from cretonode.cli.layout import NodeFiles

LINES = """\
QUIC     127.0.0.1:9001
{"timestamp": "2026-01-01T00:00:00.000Z", "level": "info", "event": "running", "final": 0}
{"timestamp": "2026-01-01T00:00:01.250Z", "level": "debug", "event": "finalized", "sequence": 1}
{"timestamp": "2026-01-01T00:00:02.000Z", "level": "info", "event": "lied", "acts": 3}
{"timestamp": "2026-01-01T00:00:03.000Z", "level": "info", "event": "lied", "acts": 5}
{"timestamp": "2026-01-01T00:00:04.000Z", "level": "info", "event": "running", "final": 1}
{"timestamp": "2026-01-01T00:00:05.500Z", "level": "debug", "event": "finalized", "sequence": 2}
{"timestamp": "2026-01-01T00:00:06.000Z", "level": "info", "event": "lied", "acts": 4}
{"timestamp": "2026-01-01T00:00:07.000Z", "level": "info", "eve
"""


def files(place: Path) -> NodeFiles:
    found = NodeFiles(name="node0", directory=place, quic_port=1, http_port=2, metrics_port=3)
    found.log_path.write_text(LINES)
    return found


def test_a_moment_is_read_to_the_millisecond(tmp_path: Path) -> None:
    node = files(tmp_path)
    one, two = (each for each in moments(node) if each.event == "finalized")
    assert round((two.at_s - one.at_s) * 1000) == 4_250
    assert (one.whole("sequence"), two.whole("sequence")) == (1, 2)


def test_what_was_before_does_not_count(tmp_path: Path) -> None:
    node = files(tmp_path)
    began = first(node, "running", since_s=0.0)
    assert began is not None
    later = first(node, "finalized", since_s=began.at_s + 2)
    assert later is not None
    assert later.whole("sequence") == 2
    assert first(node, "halted", since_s=0.0) is None


def test_the_lies_of_all_lives_add_up(tmp_path: Path) -> None:
    liar = Liar(NodeProcess(files(tmp_path)), "votes-twice", forgot=1)
    assert liar.acts() == 5 + 4 + 1
