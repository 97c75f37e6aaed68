"""Text and picture of every screen, kept beside the tests; `just console-snapshots` makes them.

The text is what a review reads; the picture, an SVG compressed as browsers open it, has the styles.
"""

import asyncio
import gzip
from pathlib import Path
from typing import NamedTuple

from console.keep import self_contained
from tests.console.pilots import every_table, replayed

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = ((80, 24), (120, 40))


class Snapshot(NamedTuple):
    text: str
    svg: str


def path_of(name: str, size: tuple[int, int], suffix: str = "txt") -> Path:
    return SNAPSHOTS / f"{size[0]}x{size[1]}" / f"{name}.{suffix}"


def read_svg(name: str, size: tuple[int, int]) -> str:
    return gzip.decompress(path_of(name, size, "svgz").read_bytes()).decode()


async def screens(size: tuple[int, int]) -> dict[str, Snapshot]:
    """Return every screen by its name."""
    found = {}
    async with replayed(size=size) as played:
        for name, keys in every_table():
            text = await played.press(*keys) + "\n"
            svg = self_contained(played.app.export_screenshot(title="creto-console"))
            found[name] = Snapshot(text, svg)
            await played.press(*["V"] * (len(keys) - 1))
    return found


def main() -> None:
    for size in SIZES:
        for name, (text, svg) in asyncio.run(screens(size)).items():
            path = path_of(name, size)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path_of(name, size, "svgz").write_bytes(gzip.compress(svg.encode(), mtime=0))


if __name__ == "__main__":
    main()
