"""The mutation gate: an oracle is worth what it catches, so each planted bug must be caught."""

import pytest

from tests.simulation.gate import CATCH_WITHIN, catch_known
from tests.simulation.mutations import MUTATIONS


@pytest.mark.parametrize("bug", MUTATIONS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """Known seeds first; the full search is `just simulate mutations=yes`."""
    assert catch_known(bug) is not None, f"{bug}: not caught within {CATCH_WITHIN} seeds"
