"""The time of an anchor against the clock of who votes. The replica is validator 1 of 4."""

import pytest

from cretonode.core.effects import Reason, Refuse
from cretonode.core.messages import (
    Prepare,
)
from cretonode.core.ordering import Untimely
from cretonode.identifiers import ValidatorIndex
from cretonode.limits import (
    TIMESTAMP_DRIFT_MS_MAX,
)
from tests.core.replicas import (
    START_MS,
    anchor,
    committed,
    make_replica,
    of,
    pre_prepare,
    prepared,
    said,
)

LEADER = ValidatorIndex(0)


@pytest.mark.parametrize("direction", [1, -1], ids=["fast", "slow"])
def test_a_backup_does_not_prepare_an_anchor_far_from_its_clock(direction: int) -> None:
    """DESIGN 2, Vertex: an anchor's time is checked for drift only when voting Prepare."""
    edge = START_MS + direction * TIMESTAMP_DRIFT_MS_MAX
    good, bad = anchor(0, 1, timestamp_ms=edge), anchor(0, 1, timestamp_ms=edge + direction)
    assert said(make_replica().hear(good, pre_prepare(0, good)), Prepare)
    tested = make_replica()
    assert not said(tested.hear(bad, pre_prepare(0, bad)), Prepare)
    effects = tested.hear(prepared(0, bad, (0, 2, 3)))
    assert said(effects, Prepare), "a certified anchor is never re-judged by the clock"


def test_how_far_an_untimely_anchor_is_off_is_said_once_and_forgotten_when_it_is_not() -> None:
    early = anchor(0, 1, timestamp_ms=START_MS + TIMESTAMP_DRIFT_MS_MAX + 9)
    tested = make_replica()
    effects = tested.hear(early, pre_prepare(0, early)) + tested.wait(5)
    assert of(effects, Refuse) == [Refuse(LEADER, Reason.UNTIMELY_ANCHOR)], "told once"
    assert tested.replica.ordering.untimely == {
        LEADER: Untimely(TIMESTAMP_DRIFT_MS_MAX + 9, START_MS)
    }
    assert said(tested.wait(4), Prepare), "time has mended it"
    assert not tested.replica.ordering.untimely


@pytest.mark.parametrize("later_ms", [0, 1])
def test_the_time_of_the_anchor_before_is_good_however_far_ahead_and_no_later_one(
    later_ms: int,
) -> None:
    """Docs/spec/consensus.md, section 3.1: else nobody could go on until real time is there."""
    ahead_ms = START_MS + 2 * TIMESTAMP_DRIFT_MS_MAX
    first = anchor(0, 1, timestamp_ms=ahead_ms)
    second = anchor(0, 2, first, timestamp_ms=ahead_ms + later_ms)
    tested = make_replica()
    tested.hear(first, committed(0, first))
    assert bool(said(tested.hear(second, pre_prepare(0, second)), Prepare)) == (later_ms == 0)
