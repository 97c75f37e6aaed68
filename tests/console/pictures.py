"""`just screenshots`: pictures of every screen for the documentation, from the recording."""

import asyncio
from pathlib import Path

from console.keep import self_contained
from tests.console.pilots import every_table, replayed

PICTURES = Path(__file__).parent.parent.parent / "docs" / "console"
SIZE = (100, 28)
SHOWN = {
    "1-overview", "2-sequences", "2-view-changes", "3-peers", "4-scores", "5-graph", "6-measures",
    "7-log",
}  # fmt: skip
EVIDENCE = ("7", "v", "enter")


async def pictures() -> dict[str, str]:
    """Return the pictures by their names."""
    found = {}
    async with replayed(size=SIZE) as played:
        for name, keys in every_table():
            if name in SHOWN:
                await played.press(*keys)
                found[name] = played.app.export_screenshot(title="creto-console")
                await played.press(*["V"] * (len(keys) - 1))
        await played.press(*EVIDENCE)
        await played.until_text("not checked")
        found["7-evidence"] = played.app.export_screenshot(title="creto-console")
    return found


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, svg in asyncio.run(pictures()).items():
        (PICTURES / f"{name}.svg").write_text(self_contained(svg), encoding="utf-8")


if __name__ == "__main__":
    main()
