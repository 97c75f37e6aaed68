"""The models and what is written about them stay together, with or without Java."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.model.__main__ import main
from tests.model.runs import DEADLOCK, HOLDS, MODELS, ROOT, Run, all_runs, parse
from tests.model.tlc import outcome_of

PAGE = (ROOT / "docs" / "spec" / "models.md").read_text(encoding="utf-8")
RUNS = all_runs()
ACTIONS = re.findall(r"^\| `(\w+)\.(\w+)` \| (.*?) \|", PAGE, re.MULTILINE)
CARRIERS = [
    (module, action, name)
    for module, action, carriers in ACTIONS
    for name in re.findall(r"`([\w.]+)`", carriers)
]


def carrier_of(name: str) -> object:
    """Return what `module.function` or `module.Class.function` below cretonode.core is."""
    module, *path = name.split(".")
    found: object = import_module(f"cretonode.core.{module}")
    for part in path:
        found = getattr(found, part)
    return found


def module_text(name: str) -> str:
    return (MODELS / f"{name}.tla").read_text(encoding="utf-8")


def test_the_table_of_actions_is_there() -> None:
    assert len(ACTIONS) >= 20
    assert len(CARRIERS) >= 25


@pytest.mark.parametrize(("module", "action", "name"), CARRIERS, ids=lambda part: part)
def test_every_function_that_carries_an_action_exists(module: str, action: str, name: str) -> None:
    """docs/spec/models.md, section 3."""
    assert callable(carrier_of(name)), (module, action, name)


@pytest.mark.parametrize(("module", "action"), [(m, a) for m, a, _ in ACTIONS])
def test_every_action_in_the_table_is_in_its_module(module: str, action: str) -> None:
    assert re.search(rf"^{action}(\(.*\))? ==", module_text(module), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.tla")), ids=lambda path: path.stem)
def test_every_function_named_in_a_module_exists(path: Path) -> None:
    """A comment that names `views.Views._enter` must not outlive it."""
    comments = "\n".join(re.findall(r"(?:\\\*|\(\*) (.*)", module_text(path.stem)))
    for match in re.finditer(r"\b([a-z_]+)\.([A-Z]\w+)\.(\w+)", comments):
        assert carrier_of(match.group(0)) is not None


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_run_names_a_module_and_invariants_that_exist(run: Run) -> None:
    text = module_text(run.module)
    while (extended := re.search(r"^EXTENDS (Chained\w+)$", text, re.MULTILINE)) is not None:
        text = text.replace(extended.group(0), "") + module_text(extended.group(1))
    for invariant in run.invariants:
        assert re.search(rf"^{invariant} ==", text, re.MULTILINE), invariant
    assert run.name.startswith(("fault_", "goal_")) == (run.expect != HOLDS)
    assert run.finds_deadlocks or run.expect != DEADLOCK


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_run_is_reported(run: Run) -> None:
    """docs/spec/models.md, section 4."""
    assert f"`{run.name}`" in PAGE


@pytest.mark.parametrize("module", sorted({run.module for run in RUNS}))
def test_every_module_has_a_fault_that_is_found(module: str) -> None:
    assert any(r.module == module and r.name.startswith("fault_") for r in RUNS)


@pytest.mark.parametrize(
    ("status", "output", "outcome"),
    [
        (0, "Model checking completed. No error has been found.", "holds"),
        (12, "Error: Invariant Agreement is violated.", "Agreement"),
        (11, "Error: Deadlock reached.", "deadlock"),
        (12, "Error: Evaluating invariant Agreement failed.", "error 12"),
        (150, "***Parse Error***", "error 150"),
        (0, "", "error 0"),
        (137, "Error: Invariant Agreement is violated.", "error 137"),
    ],
)
def test_only_a_violation_that_tlc_states_counts_as_one(
    status: int, output: str, outcome: str
) -> None:
    assert outcome_of(status, output) == outcome


@pytest.mark.parametrize(
    "text",
    [
        "\\* says\n\\* module: A\n\\* expect: holds\n",
        "\\* says\n\\* module: A\n\\* expect: X\n\\* effort: quick\n\\* deadlock: allowed\n",
        "\\* says\n\\* module: A\n\\* expect: holds\n\\* effort: some\n\\* deadlock: allowed\n",
    ],
    ids=["a field lacks", "what is expected is not checked", "another effort"],
)
def test_a_run_that_does_not_say_what_it_shows_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.cfg"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"some\.cfg"):
        parse(path)


def test_without_java_it_refuses_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([]) == 2
    assert "java" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["only=nothing"], "safe_s1v1"), (["speed=high"], "speed")],
    ids=["an unknown run", "an unknown option"],
)
def test_a_misspelt_call_is_refused_with_what_there_is(
    capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert main(arguments) == 2
    assert word in capsys.readouterr().err
