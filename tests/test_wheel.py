"""What is packed: the product alone. Liars, floods, chaos and tests stay in the repository."""

import ast
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PACKED = ("cretonode/", "console/")
UNPACKED = {"bench", "chaos", "integration", "tests"}


def packed() -> list[str]:
    builder = WheelBuilder(str(ROOT))
    return sorted(file.distribution_path for file in builder.recurse_included_files())


def test_the_wheel_holds_the_product_alone() -> None:
    """The Byzantine build of the node is never part of it."""
    files = packed()
    assert "cretonode/node/node.py" in files
    assert [file for file in files if not file.startswith(PACKED)] == []
    assert [file for file in files if "liar" in file or "byzantine" in file] == []


@pytest.mark.parametrize("file", [file for file in packed() if file.endswith(".py")])
def test_nothing_packed_imports_what_is_not(file: str) -> None:
    roots: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            roots.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            roots.add(node.module.split(".")[0])
    assert roots.isdisjoint(UNPACKED), roots & UNPACKED
