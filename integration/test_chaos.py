"""`just chaos` itself: a round passes, and leaves neither a process nor a file."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_round_keeps_every_promise(tmp_path: Path) -> None:
    arguments = ["rounds=1", "rate=400", "batch=20", "wait=1", "down=1", "seed=11", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "rounds", *arguments, f"dir={tmp_path}"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["kept"]
    assert found["seed"] == 11
    assert found["figures"]["rounds"] == 1
    assert not list(tmp_path.iterdir())
