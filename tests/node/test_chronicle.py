"""What the driver tells whoever looks on."""

from cretonode.core.effects import Accuse
from cretonode.core.events import Received, Tick
from cretonode.identifiers import ValidatorIndex
from cretonode.node.chronicle import Chronicle
from cretonode.node.clock import Clock
from cretonode.operator.protocol_topics import Mark
from tests.core.replicas import anchor, commit, make_replica, pre_prepare, prepare, view_change


def chronicle() -> Chronicle:
    return Chronicle(
        replica=make_replica().replica, names=("zero", "one", "two", "three"), clock=Clock()
    )


def test_votes_are_noted_as_they_come_and_nothing_else_is() -> None:
    it = chronicle()
    first = anchor(0, 1)
    for message in (first, view_change(1, 3)):
        it.heard(Received(ValidatorIndex(0), message), 5)
    it.heard(Tick(), 5)
    assert list(it.slots.changed(0)) == []
    it.heard(Received(ValidatorIndex(0), pre_prepare(0, first)), 5)
    (page,) = it.slots.changed(0)
    assert page.pre_prepared


def test_votes_that_the_replica_never_sees_are_marked() -> None:
    it = chronicle()
    first = anchor(0, 1)
    it.heard(Received(ValidatorIndex(0), pre_prepare(0, first)), 5)
    it.heard_unbelieved(prepare(0, first, 2), True)
    it.heard_unbelieved(prepare(0, first, 3), False)
    (page,) = it.slots.changed(0)
    assert list(page.prepares) == [Mark.SEEN, Mark.MISSING, Mark.SEEN, Mark.INVALID]


def test_a_contradiction_marks_the_sequence_it_is_about() -> None:
    it = chronicle()
    first, second = anchor(0, 1), anchor(0, 2)
    it.heard(Received(ValidatorIndex(0), pre_prepare(0, first)), 5)
    it.heard(Received(ValidatorIndex(2), commit(0, first, 2)), 5)
    again = commit(0, anchor(0, 1, timestamp_ms=9), 2)
    it.done(Accuse(ValidatorIndex(2), commit(0, first, 2), again), 6)
    it.done(Accuse(ValidatorIndex(3), view_change(1, 3), view_change(1, 3)), 6)
    (page,) = it.slots.changed(0)
    assert list(page.commits) == [Mark.MISSING, Mark.MISSING, Mark.EQUIVOCATING, Mark.MISSING]
    assert second is not first
