"""A killed process loses nothing that it called synced. SPEC C8; DESIGN, Acceptance."""

import subprocess
import sys
from pathlib import Path

import pytest

from cretonode.core.records import Promises
from tests.storage.chain import ChainMaker
from tests.storage.conftest import OpenStore
from tests.storage.test_restore import check_restored
from tests.storage.test_transactions import check_transactions

ROOT = Path(__file__).parent.parent.parent


def start_writer(directory: Path, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.storage.writer", str(directory), *map(str, numbers)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("kill_at", [1, 9, 30])
def test_a_killed_writer_has_all_it_synced_and_a_whole_turn_at_most_besides(
    opened: OpenStore, tmp_path: Path, kill_at: int
) -> None:
    with start_writer(tmp_path / "db", 10_000, 5, 24) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if line == f"synced {kill_at}\n":
                break
        writer.kill()
        rest = writer.stdout.read().split()
        writer.wait()
    reported = int(rest[-1]) if rest and rest[-1].isdecimal() else kill_at
    store = opened()
    sequence = store.final_sequence()
    assert sequence >= reported
    maker = ChainMaker(repeat_chance=0.0)
    maker.slots(sequence)
    check_restored(store.restore(maker.graph.genesis, Promises()), maker)
    for turn in maker.slots(3):
        store.apply(turn)
    check_transactions(store, maker)


def test_small_options_keep_their_bound_while_200_mb_are_written(tmp_path: Path) -> None:
    with start_writer(tmp_path / "db", 100, 500, 1000) as writer:
        assert writer.stdout is not None
        last = ""
        for line in writer.stdout:
            last = line
            if line.startswith("grown"):
                break
        writer.kill()
        writer.wait()
    written = sum(path.stat().st_size for path in (tmp_path / "db").iterdir())
    assert written > 190 * 1024 * 1024
    kind, grown = last.split()
    assert kind == "grown"
    assert int(grown) < 48 * 1024 * 1024, "with what the writer itself holds"
