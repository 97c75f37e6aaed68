"""One peer's conduct: what is counted, and above all what is not."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
import trio.testing

from cretonode.core.messages import FetchSlots, FetchVertices, Message, Prepare, Status, Suspect
from cretonode.core.reputation import Violation
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex, VertexHash, View
from cretonode.node import conduct
from cretonode.node.conduct import Conduct
from cretonode.wire.messages import encode_message
from tests.core.replicas import anchors, new_view, prepare, signed, view_change

PEER = ValidatorIndex(3)
Clock = trio.testing.MockClock  # moves on by itself when every task waits
A = anchors(0, 1)
STATUS = Status(
    view=View(0),
    has_base=True,
    final=SequenceNumber(0),
    stable=SequenceNumber(0),
    slots=(),
    newest=(AuthorIndex(0),) * 4,
)


def hear(peer: Conduct, *messages: Message) -> list[Violation]:
    return [kind for kind, _ in peer.heard([encode_message(m) for m in messages], messages)]


def votes(count: int) -> list[Prepare]:
    return [replace(prepare(0, A[0], PEER), sequence=SequenceNumber(i + 1)) for i in range(count)]


async def test_messages_that_differ_are_no_replay(autojump_clock: Clock) -> None:
    peer = Conduct(PEER)
    for _ in range(20):
        await trio.sleep(1)
    found = [v for i in range(40) for v in hear(peer, *votes(1_000)[i::40])]
    assert found == []


async def test_what_a_new_connection_repeats_is_no_replay(
    autojump_clock: Clock,
) -> None:
    """0-RTT and reconnects may bring everything under way again."""
    peer = Conduct(PEER)
    vote = votes(1)
    assert hear(peer, *vote * conduct.REPEATS_AT_FIRST) == []
    peer.reset()
    assert hear(peer, *vote * conduct.REPEATS_AT_FIRST) == []


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (STATUS, conduct.REPEATS_FOR_STATUS),
        (FetchVertices(hashes=(VertexHash(bytes(32)),) * 3), 3),
        (FetchSlots(first=SequenceNumber(1), count=64), conduct.REPEATS_FOR_SLOTS),
    ],
    ids=["a status", "vertices", "sequences"],
)
async def test_what_was_asked_for_may_come_again(
    autojump_clock: Clock, asked: Message, allowed: int
) -> None:
    peer = Conduct(PEER)
    vote = votes(1)
    hear(peer, *vote * (conduct.REPEATS_AT_FIRST + 1))
    peer.asked(asked)
    edge = allowed + conduct.REPEATS_A_VIOLATION - 1
    assert hear(peer, *vote * edge) == []
    assert hear(peer, *vote) == [Violation.REPLAY]


async def test_a_flood_of_the_same_is_a_replay_again_and_again(
    autojump_clock: Clock,
) -> None:
    peer = Conduct(PEER)
    vote = votes(1)
    hear(peer, *vote * (conduct.REPEATS_AT_FIRST + 1))
    assert hear(peer, *vote * 4 * conduct.REPEATS_A_VIOLATION) == [Violation.REPLAY] * 4


async def test_the_same_status_every_second_is_no_replay(
    autojump_clock: Clock,
) -> None:
    peer = Conduct(PEER)
    for _ in range(2_000):
        assert hear(peer, STATUS, FetchSlots(first=SequenceNumber(1), count=1)) == []
        await trio.sleep(1)


async def test_a_vote_that_nobody_needed_counts_when_it_is_repeated(
    autojump_clock: Clock,
) -> None:
    """It was not verified, but it was sent."""
    peer = Conduct(PEER)
    data = encode_message(votes(1)[0])
    too_many = [data] * (1 + conduct.REPEATS_AT_FIRST + conduct.REPEATS_A_VIOLATION)
    assert [kind for kind, _ in peer.heard(too_many, [])] == [Violation.REPLAY]


def moves(first: int, count: int) -> Sequence[Message]:
    return [view_change(first + i, PEER) for i in range(count)]


async def test_view_changes_without_views_are_spam(autojump_clock: Clock) -> None:
    peer = Conduct(PEER)
    assert hear(peer, *moves(1, conduct.VIEW_CHANGES_BURST)) == []
    found = hear(peer, *moves(1_000, 2 * conduct.VIEW_CHANGES_A_VIOLATION))
    assert found == [Violation.VIEW_CHANGE_SPAM] * 2


async def test_view_changes_with_views_are_none(autojump_clock: Clock) -> None:
    peer = Conduct(PEER)
    for view in range(1, 500):
        peer.view_entered()
        assert hear(peer, view_change(view, PEER)) == []
        await trio.sleep(0.02)


async def test_the_same_view_change_again_is_no_spam(
    autojump_clock: Clock,
) -> None:
    """It answers every Status while the view is not open."""
    peer = Conduct(PEER)
    for _ in range(500):
        peer.asked(STATUS)
        assert hear(peer, view_change(1, PEER)) == []
        await trio.sleep(0.02)


async def test_others_new_views_passed_on_are_no_spam(
    autojump_clock: Clock,
) -> None:
    peer = Conduct(PEER)
    relayed = [new_view(4 * i + 2) for i in range(200)]
    assert hear(peer, *relayed) == []


async def test_a_suspicion_a_second_is_no_spam(autojump_clock: Clock) -> None:
    peer = Conduct(PEER)
    for i in range(1_000):
        suspicion = signed(Suspect(view=View(0), author=PEER))
        assert hear(peer, replace(suspicion, signature=b"%d" % i)) == []
        await trio.sleep(1)


async def test_the_pace_of_an_honest_sender_is_no_flood(
    autojump_clock: Clock,
) -> None:
    """node.channel: 150 at once, then 90 a second."""
    peer = Conduct(PEER)
    for _ in range(150):
        assert peer.heard([], []) == []
    for _ in range(90 * 120):
        await trio.sleep(1 / 90)
        assert peer.heard([], []) == []


async def test_frames_at_the_limit_without_end_are_a_flood(
    autojump_clock: Clock,
) -> None:
    """network.peer_link reads 100 a second at most."""
    peer = Conduct(PEER)
    found = []
    for _ in range(100 * 90):
        await trio.sleep(1 / 100)
        found += peer.heard([], [])
    assert {kind for kind, _ in found} == {Violation.FLOOD}
    assert len(found) >= 5, "within a minute and a half it is banned"


async def test_memory_stays_small(autojump_clock: Clock) -> None:
    peer = Conduct(PEER)
    for i in range(0, 10_000, 500):
        hear(peer, *votes(10_000)[i : i + 500])
    assert len(peer._recent) + len(peer._older) <= 2 * conduct.REMEMBERED_MAX
