"""Clients that watch: told what changed, at their interval, at no cost to anybody else."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from cretonode.crypto.canonical import Value
from cretonode.operator.protocol import (
    Delta,
    Refusal,
    Request,
    Response,
)
from cretonode.operator.protocol_deltas import changes_untrusted
from cretonode.operator.server import (
    CLIENTS_MAX,
    DELTA_SEND_MS,
    REQUESTS_BURST,
    REQUESTS_PER_S,
)
from tests.operator.examples import Watched
from tests.operator.serving import PING, PONG, TOOLS, Client, client_at


async def watch(client: Client, interval_ms: int = 100, **arguments: Value) -> None:
    asked = Request(id=1, command="watch", arguments={"interval_ms": interval_ms, **arguments})
    assert await client.ask(asked) == PONG


async def lines_of(client: Client, count: int) -> list[int]:
    """Return the numbers that the next `count` deltas tell."""
    told = []
    while len(told) < count:
        delta = await client.hear()
        assert isinstance(delta, Delta), delta
        changes = changes_untrusted(delta)
        assert changes.log is not None
        assert delta.fresh == (changes.log[0].number == 1)
        told.append(changes.log[0].number)
    return told


async def test_a_watching_client_is_told_at_its_interval(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client:
        begun = trio.current_time()
        await watch(client, 250)
        assert await lines_of(client, 9) == list(range(1, 10))
        assert trio.current_time() == pytest.approx(begun + 8 * 0.25)


async def test_requests_are_answered_between_the_deltas(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client:
        await watch(client, 60_000)
        assert await lines_of(client, 1) == [1]
        begun = trio.current_time()
        for number in range(2, 50):
            asked = Request(id=number, command="ping")
            assert await client.ask(asked) == Response(id=number, ok=True)
        assert trio.current_time() < begun + 60
        assert await lines_of(client, 1) == [2]


async def test_who_watches_anew_is_told_everything_again_and_who_ends_it_nothing(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client:
        await watch(client)
        assert await lines_of(client, 3) == [1, 2, 3]
        await client.say(Request(id=1, command="watch", arguments={"interval_ms": 1_000}))
        while (message := await client.hear()) != PONG:
            assert isinstance(message, Delta)
        assert await lines_of(client, 2) == [1, 2]
        await client.say(Request(id=1, command="unwatch"))
        assert await client.hear() == PONG
        with trio.move_on_after(3_600):
            message = await client.hear()
            pytest.fail(f"{message} came")
        assert await client.ask(PING) == PONG


async def test_a_client_is_told_of_the_topics_it_names(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client:
        await watch(client, topics="slots status")
        delta = await client.hear()
        assert isinstance(delta, Delta)
        assert not delta.topics


@pytest.mark.parametrize(
    ("command", "arguments", "error"),
    [
        ("watch", {}, "watch needs interval_ms"),
        ("watch", {"interval_ms": 99}, "interval_ms is not a whole number from 100 to 60000"),
        ("watch", {"interval_ms": 60_001}, "interval_ms is not a whole number from 100 to 60000"),
        ("watch", {"interval_ms": None}, "interval_ms is null"),
        ("watch", {"interval_ms": 100, "topics": 7}, "topics is not a text"),
        ("watch", {"interval_ms": 100, "topics": "dance"}, "there is no topic dance"),
        ("watch", {"interval_ms": 100, "loud": True}, "watch does not take loud"),
        ("unwatch", {"interval_ms": 100}, "unwatch takes no arguments"),
    ],
)
async def test_a_watch_that_cannot_be_is_refused_and_changes_nothing(
    path: Path, command: str, arguments: dict[str, Value], error: str
) -> None:
    async with client_at(path) as client:
        await watch(client)
        await lines_of(client, 1)
        await client.say(Request(id=9, command=command, arguments=arguments))
        while isinstance(message := await client.hear(), Delta):
            pass
        assert isinstance(message, Response)
        assert message.id == 9
        assert message.error.startswith(error)
        await lines_of(client, 1)


async def test_nothing_runs_while_nobody_watches(
    path: Path, watched: Watched, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client:
        before = watched.asked
        await trio.sleep(3_600)
        assert watched.asked == before
        await watch(client)
        await lines_of(client, 2)
    await trio.testing.wait_all_tasks_blocked()
    before = watched.asked
    await trio.sleep(3_600)
    assert watched.asked == before


async def test_a_client_that_takes_no_deltas_costs_no_memory_and_then_the_connection(
    path: Path, watched: Watched, autojump_clock: trio.testing.MockClock
) -> None:
    """What it would be told is worked out when it can take it: until then nobody asks the node."""
    watched.rows = 200
    watched.text_characters = 300
    async with client_at(path) as client, client_at(path) as bystander:
        await watch(client)
        await trio.sleep(DELTA_SEND_MS / 1000 / 2)
        asked = watched.asked
        assert asked < 100  # what the socket's buffers hold, and one more
        await trio.sleep(DELTA_SEND_MS / 1000 / 4)
        assert watched.asked == asked
        assert await bystander.ask(PING) == PONG
        await trio.sleep(DELTA_SEND_MS / 1000)
        with pytest.raises(trio.BrokenResourceError):
            await client.say(PING)
        assert watched.asked == asked


async def test_a_slow_client_is_told_what_counts_when_it_reads(
    path: Path, watched: Watched, autojump_clock: trio.testing.MockClock
) -> None:
    watched.rows = 200
    watched.text_characters = 300
    async with client_at(path) as client:
        await watch(client)
        await trio.sleep(10)
        told = await lines_of(client, watched.asked)
        assert told == list(range(1, len(told) + 1))
        assert len(told) < 100


async def test_who_asks_without_end_waits_and_nobody_else_does(
    path: Path, watched: Watched, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client, client_at(path) as bystander:
        begun = trio.current_time()
        many = REQUESTS_BURST + 100
        asked = [Request(id=1, command="watch", arguments={"interval_ms": 100})] * many
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.say, *asked)
            answers = 0
            while answers < many:
                answers += isinstance(await client.hear(), Response)
                if answers == REQUESTS_BURST:
                    assert trio.current_time() == begun
                    assert await bystander.ask(PING) == PONG
        elapsed_s = trio.current_time() - begun
        assert elapsed_s == pytest.approx(100 / REQUESTS_PER_S)
        assert watched.asked <= 1 + elapsed_s / 0.1


async def test_garbage_of_a_watching_client_is_answered_like_anybodys(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client, client_at(path) as bystander:
        await watch(client)
        await watch(bystander)
        await lines_of(client, 2)
        await client.stream.send_all(b"\0" * 8)
        while isinstance(message := await client.hear(), Delta):
            pass
        assert message == Refusal(reason="a message of 0 bytes; expected 1 to 65536")
        assert await client.hear() is None
        assert await lines_of(bystander, 3) == [1, 2, 3]


async def test_clients_that_watch_come_and_go_and_leave_nothing(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(3):
        async with AsyncExitStack() as stack:
            for _ in range(CLIENTS_MAX):
                client = await stack.enter_async_context(client_at(path))
                await watch(client)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_node_that_is_told_to_stop_answers_first(path: Path) -> None:
    TOOLS.stopped = False
    async with client_at(path) as client:
        answered = await client.ask(Request(id=4, command="stop"))
        assert answered == Response(id=4, ok=True, value="stop False")
        await trio.testing.wait_all_tasks_blocked()
        assert TOOLS.stopped
