"""The house checks itself: import direction, banned imports, module size."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cretonode", "console")
MODULE_LINES_MAX = 500

# Lower layers first. A module may import its own layer and those before it.
LAYERS = (
    {"identifiers", "errors", "limits"},
    {"crypto"},
    {"dag"},
    {"core"},
    {"wire"},
    {"storage", "network", "api", "observability", "operator", "config", "client"},
    {"node"},
    {"cli"},
)
LAYER_OF = {name: level for level, names in enumerate(LAYERS) for name in names}
SIBLINGS_APART = {"storage", "network", "api"}  # the node joins them; they never meet
PURE = ("crypto", "dag", "core", "wire")
IO_MODULES = {
    "trio", "time", "random", "os", "socket", "logging", "threading", "structlog", "pathlib",
    "rocksdict", "plyvel", "aioquic", "qh3", "quart_trio", "hypercorn", "prometheus_client",
}  # fmt: skip
ONLY_IMPORTERS = {
    "rocksdict": {"storage"},
    "plyvel": {"storage"},
    "aioquic": {"network"},
    "qh3": {"network"},
    "quart": {"api"},
    "quart_trio": {"api"},
    "hypercorn": {"api"},
    "prometheus_client": {"observability"},
}


def modules() -> list[Path]:
    return sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def imports_of(module: Path) -> set[str]:
    """Return the dotted names that `module` imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def place_of(module: Path) -> str:
    """Return the package below `cretonode/` (or the module's own name there)."""
    parts = module.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "cretonode" else parts[0]


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(module: Path) -> None:
    place = place_of(module)
    ours = {n for n in imports_of(module) if n.split(".")[0] == "cretonode" and "." in n}
    if place == "console":
        assert all(n.startswith("cretonode.operator.protocol") for n in ours), ours
        return
    if place in ("__init__", "__main__"):
        return
    for name in ours:
        other = name.split(".")[1]
        if other not in LAYER_OF:  # `from cretonode import __version__`
            continue
        assert LAYER_OF[other] <= LAYER_OF[place], f"{place} imports {other}, which is above it"
        if place in SIBLINGS_APART and other in SIBLINGS_APART:
            assert place == other, f"{place} and {other} must not know each other"


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_io_stays_at_the_edge(module: Path) -> None:
    roots = {name.split(".")[0] for name in imports_of(module)}
    place = place_of(module)
    if place in PURE and module.name != "keystore.py":
        assert roots.isdisjoint(IO_MODULES), roots & IO_MODULES
    for library, homes in ONLY_IMPORTERS.items():
        if library in roots:
            assert place in homes, f"only {sorted(homes)} may import {library}"


@pytest.mark.parametrize("module", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_one_subject_and_says_it(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "a module opens by saying what it owns"
    assert text.count("\n") <= MODULE_LINES_MAX


def test_locks_name_no_host() -> None:
    for lock in (ROOT / "requirements").iterdir():
        assert "://" not in lock.read_text(encoding="utf-8"), lock.name


def test_every_layer_is_listed() -> None:
    present = {place_of(m) for m in modules() if m.parent != ROOT / "cretonode"} - {"console"}
    assert present <= set(LAYER_OF), present - set(LAYER_OF)
