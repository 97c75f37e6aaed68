"""Source of every claim: docs/operator-socket.md, section 5."""

from collections.abc import Generator

import pytest
import structlog

from cretonode.core.events import Event, StepDown
from cretonode.errors import ClientError
from cretonode.identifiers import ValidatorIndex
from cretonode.node.steering import Steering, outlook
from tests.core.replicas import alone, make_replica

NAMES = ("zero", "one", "two", "three")


def steering(
    me: int = 0, peers: tuple[int, ...] = (1, 2, 3)
) -> tuple[Steering, list[Event], list[str]]:
    put: list[Event] = []
    stops: list[str] = []
    return (
        Steering(
            replica=make_replica(me=me).replica,
            audible=lambda: [ValidatorIndex(peer) for peer in peers],
            put_own=put.append,
            names=NAMES,
            log_level="info",
            log_format="json",
            end=lambda: stops.append("stopped"),
        ),
        put,
        stops,
    )


@pytest.fixture
def _logs_as_before() -> Generator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("_logs_as_before")
def test_the_log_level_is_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    levers, _, _ = steering()
    assert levers.set_log_level("debug", dry_run=True) == (
        "lines from level debug on would be logged; now it is info"
    )
    assert levers.log_level == "info"
    log = structlog.get_logger("test")
    levers.set_log_level("error", dry_run=False)
    log.info("unheard")
    assert "it was error" in levers.set_log_level("debug", dry_run=False)
    log.debug("heard")
    said = capsys.readouterr().err
    assert "unheard" not in said
    assert '"heard"' in said
    with pytest.raises(ClientError, match="no level 'loud'; known are debug, info, warn, error"):
        levers.set_log_level("loud", dry_run=True)


def test_only_a_leader_steps_down_and_only_in_earnest() -> None:
    levers, put, _ = steering()
    effect = "zero gives view 0 up; one follows"
    assert levers.step_down(dry_run=True) == f"{effect}; nothing was done"
    assert put == []
    assert levers.step_down(dry_run=False) == effect
    assert put == [StepDown()]
    backup, put, _ = steering(me=1)
    with pytest.raises(ClientError, match="this node does not lead: zero leads view 0"):
        backup.step_down(dry_run=True)
    levers, _, _ = steering(peers=(2, 3))
    assert "one follows, which is not connected" in levers.step_down(dry_run=True)


def test_one_validator_alone_cannot_step_down() -> None:
    levers, _, _ = steering()
    levers.replica = alone().replica
    with pytest.raises(ClientError, match="nobody else can lead"):
        levers.step_down(dry_run=True)


def test_stopping_says_what_it_leaves_and_is_done_when_told() -> None:
    levers, _, stops = steering(peers=(1, 3))
    assert levers.stop_effect(dry_run=True) == (
        "zero stops; this leaves 2 of 4 connected, as far as it sees: finality will stop, "
        "3 are needed; nothing was done"
    )
    levers.stop_effect(dry_run=False)
    assert stops == []
    levers.stop()
    levers.stop()
    assert stops == ["stopped"]
    with pytest.raises(ClientError, match="it is stopping already"):
        levers.stop_effect(dry_run=False)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (2, "finality will stop, 3 are needed"),
        (3, "finality goes on while none of these fails"),
        (4, "finality goes on, 1 of these may fail"),
    ],
)
def test_the_outlook_is_in_words(left: int, words: str) -> None:
    assert outlook(left, 3) == words
