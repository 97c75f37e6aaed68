"""The mutation gate: an oracle is worth what it catches, so each planted bug must be caught."""

from contextlib import AbstractContextManager
from unittest.mock import patch

import pytest

from cretonode.core.ordering import Ordering
from tests.simulation.gate import CATCH_WITHIN, catch, catch_known
from tests.simulation.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("bug", MUTATIONS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """Known seeds first; the full search is `just simulate mutations=yes`."""
    assert catch_known(bug) is not None, f"{bug}: not caught within {CATCH_WITHIN} seeds"


def test_a_run_that_breaks_catches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any nonsense breaks runs: only what an oracle says shows that it sees the bug."""

    def nonsense() -> AbstractContextManager[None]:
        return patch.object(Ordering, "advance", lambda self: 1 // 0)  # type: ignore[return-value]

    monkeypatch.setitem(MUTATIONS, "nonsense", Mutation(nonsense))
    assert catch("nonsense", range(2)) is None
