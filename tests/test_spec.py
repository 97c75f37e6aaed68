"""The pages of the protocol name functions that exist: a rule must not outlive who carries it."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = ("consensus", "dag", "durability")
PACKAGES: Final = ("cretonode.core.", "cretonode.", "")  # where a page's names begin
NO_CODE: Final = ("module.Class.function", "journal.")  # directories begin with the second


def text_of(page: str) -> str:
    text = (ROOT / "docs" / "spec" / f"{page}.md").read_text(encoding="utf-8")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def names_in(text: str) -> list[str]:
    """Return what stands in backquotes and reads like a path into the code."""
    found = re.findall(r"`([a-z_]+(?:\.\w+)+)`", text)
    return [
        name
        for name in dict.fromkeys(found)
        if not name.startswith(NO_CODE) and not name.endswith((".md", ".cddl"))
    ]


def is_there(name: str) -> bool:
    return any(is_at(package + name) for package in PACKAGES)


def is_at(path: str) -> bool:
    """True when `path` is a module, or a class, function, property or field in one."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            fields = {} if isinstance(found, ModuleType) else getattr(found, "__annotations__", {})
            found = getattr(found, part, fields.get(part))
        return found is not None
    return False


def rules() -> list[str]:
    """Return the rows of every table of consensus.md whose last column is the function."""
    found: list[str] = []
    counts = False
    for line in text_of("consensus").splitlines():
        if not line.startswith("|"):
            counts = False
        elif line.rstrip().endswith("| Function |"):
            counts = True
        elif counts and not line.startswith("| ---"):
            found.append(line)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_name_on_a_page_is_in_the_code(page: str) -> None:
    names = names_in(text_of(page))
    assert len(names) > 8
    assert [name for name in names if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_private_function_on_a_page_is_in_the_code(page: str) -> None:
    """Named beside its class: `_join`."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "cretonode").rglob("*.py")]
    for name in re.findall(r"`(_\w+)`", text_of(page)):
        assert any(f"def {name}(" in source for source in sources), name


def test_every_rule_names_who_carries_it() -> None:
    """docs/spec/consensus.md: each rule names the function that carries it."""
    assert len(rules()) > 30
    for row in rules():
        assert names_in(row.rsplit("|", maxsplit=2)[1]) or row.endswith("| |"), row


def test_a_name_that_is_not_in_the_code_is_noticed() -> None:
    assert not is_there("views.Views._forgotten")
    assert not is_there("cretonode.core.nothing")
    assert is_there("state.State.behind")
