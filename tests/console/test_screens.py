import asyncio
from pathlib import Path

import pytest

from tests.console.snapshots import SIZES, SNAPSHOTS, path_of, read_svg, screens

SIZE_NAMES = [f"{width}x{height}" for width, height in SIZES]


@pytest.mark.parametrize("size", SIZES, ids=SIZE_NAMES)
def test_every_screen_shows_what_it_did_when_it_was_last_looked_at(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """When a difference is meant: `just console-snapshots`, and review the diff like code."""
    found = asyncio.run(screens(size))
    for suffix in ("txt", "svgz"):
        kept = {path.stem for path in path_of("", size).parent.glob(f"*.{suffix}")}
        assert kept == set(found)
    for name, (text, svg) in found.items():
        assert text == path_of(name, size).read_text(encoding="utf-8"), name
        if svg != read_svg(name, size):  # no diff of 90 kB: look at both
            (tmp_path / f"{name}.svg").write_text(svg, encoding="utf-8")
            kept = path_of(name, size, "svgz")
            pytest.fail(f"{name}: other styles in {tmp_path / name}.svg than in {kept}")


@pytest.mark.parametrize(
    "path", sorted(SNAPSHOTS.rglob("*.txt")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_no_screen_is_wider_or_higher_than_the_terminal(path: object) -> None:
    width, height = map(int, path.parent.name.split("x"))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
