"""The text of every screen, kept beside the tests: `just console-snapshots` writes it anew."""

import asyncio
from pathlib import Path

from tests.console.pilots import every_table, replayed

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZES = ((80, 24), (120, 40))


def path_of(name: str, size: tuple[int, int]) -> Path:
    return SNAPSHOTS / f"{size[0]}x{size[1]}" / f"{name}.txt"


async def screens(size: tuple[int, int]) -> dict[str, str]:
    """Return the text of every screen by its name."""
    found = {}
    async with replayed(size=size) as played:
        for name, keys in every_table():
            found[name] = await played.press(*keys) + "\n"
            await played.press(*["V"] * (len(keys) - 1))
    return found


def main() -> None:
    for size in SIZES:
        for name, text in asyncio.run(screens(size)).items():
            path = path_of(name, size)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
