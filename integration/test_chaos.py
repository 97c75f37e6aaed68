"""`just chaos` itself: a scenario passes, and leaves neither a process nor a file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = ["rate=400", "batch=20", "seed=11", "--json"]


def test_a_round_keeps_every_promise(tmp_path: Path) -> None:
    found = play(tmp_path, "rounds", "rounds=1", "wait=1", "down=1")
    assert found["seed"] == 11
    figures = found["figures"]
    assert isinstance(figures, dict)
    assert figures["rounds"] == 1


@pytest.mark.parametrize("behaviour", ["votes-twice", "splits-anchors"])
def test_one_liar_of_four_real_nodes_breaks_nothing(tmp_path: Path, behaviour: str) -> None:
    """SPEC C3, B1: the rest by `just chaos liar`."""
    found = play(tmp_path, "liar", f"behaviour={behaviour}", "seconds=4", "often=1")
    promises = found["promises"]
    assert isinstance(promises, list)
    assert "the liar lied" in {promise["name"] for promise in promises}


def play(place: Path, scenario: str, *arguments: str) -> dict[str, object]:
    """Return what a scenario found; every promise was kept."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench.start",
            "chaos",
            scenario,
            *arguments,
            *LIGHT,
            f"dir={place}",
        ],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, object] = json.loads(done.stdout)
    assert found["kept"]
    assert not list(place.iterdir())
    return found
