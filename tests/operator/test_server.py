"""Source of every claim: docs/operator-socket.md."""

import os
import struct
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from cretonode.crypto.canonical import Value
from cretonode.errors import ConfigError
from cretonode.operator.commands import Then
from cretonode.operator.protocol import (
    COMMANDS,
    REQUEST_BYTES_MAX,
    Attach,
    Message,
    Refusal,
    Request,
    Response,
    encode_message,
    frame_of,
    status_untrusted,
)
from cretonode.operator.server import (
    CLIENTS_MAX,
    FAULT_LOG_S,
    FRAME_MS,
    REQUEST_MS,
    SEND_MS,
    is_allowed,
    serve_operator,
)
from tests.operator.examples import HELLO, STATUS_VIEW
from tests.operator.serving import ATTACH, PING, PONG, WATCHED, Client, answer, client_at

# --- conversations


async def test_a_client_attaches_and_is_answered(path: Path) -> None:
    async with client_at(path) as client:
        assert await client.ask(PING) == PONG
        status = await client.ask(Request(id=2, command="status"))
        assert isinstance(status, Response)
        assert status_untrusted(status.value).chain_id == STATUS_VIEW.chain_id


async def test_requests_sent_at_once_are_answered_in_their_order(path: Path) -> None:
    async with client_at(path, attach=False) as client:
        await client.say(ATTACH, *(Request(id=i, command="ping") for i in range(100)))
        assert await client.hear() == HELLO
        assert [await client.hear() for _ in range(100)] == [
            Response(id=i, ok=True) for i in range(100)
        ]


async def test_a_request_may_come_in_bytes(path: Path) -> None:
    async with client_at(path, attach=False) as client:
        for byte in frame_of(encode_message(ATTACH)) + frame_of(encode_message(PING)):
            await client.stream.send_all(bytes([byte]))
        assert await client.hear() == HELLO
        assert await client.hear() == PONG


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("refuse", "not today"),
        ("misread", "node is not 32 bytes"),
        ("dance", f"there is no command 'dance'; known are {', '.join(COMMANDS)}"),
    ],
)
async def test_what_the_node_will_not_do_is_an_answer_like_any_other(
    path: Path, command: str, error: str
) -> None:
    async with client_at(path) as client:
        expected = Response(id=5, ok=False, error=error)
        assert await client.ask(Request(id=5, command=command)) == expected
        assert await client.ask(PING) == PONG


async def test_an_answer_that_takes_too_long_is_given_up(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client, client_at(path) as other:
        await client.say(Request(id=3, command="sleep"), PING)
        assert await other.ask(PING) == PONG
        begun = trio.current_time()
        error = "sleep took over 10 seconds"
        assert await client.hear() == Response(id=3, ok=False, error=error)
        assert trio.current_time() == begun + REQUEST_MS / 1000
        assert await client.hear() == PONG


async def test_an_answer_that_is_too_long_becomes_an_error(path: Path) -> None:
    async with client_at(path) as client:
        response = await client.ask(Request(id=1, command="flood", arguments={"parts": 20}))
        assert isinstance(response, Response)
        assert response.error == "the answer is 1200097 bytes; at most 1048576"
        fits = await client.ask(Request(id=1, command="flood", arguments={"parts": 17}))
        assert isinstance(fits, Response)
        assert fits.ok


async def test_an_idle_client_stays(path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with client_at(path) as client:
        await trio.sleep(80_000)  # of virtual time
        assert await client.ask(PING) == PONG


async def test_a_bug_in_the_node_is_not_swallowed(tmp_path: Path) -> None:
    """House style 21."""

    async def broken(_request: Request) -> Value | Then:
        raise KeyError("bug")

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_operator, tmp_path / "s", broken, HELLO, WATCHED)
            async with client_at(tmp_path / "s") as client:
                await client.ask(PING)
                await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(KeyError, match="bug")
    assert entries(tmp_path) == []


# --- clients that are refused


async def test_a_client_of_another_version_is_refused_and_told_why(path: Path) -> None:
    async with client_at(path, attach=False) as client:
        await client.say(Attach(major=2, software="creto-console 2.0"))
        refusal = await client.hear()
        assert isinstance(refusal, Refusal)
        assert "the client (creto-console 2.0) speaks 2: use the one that came" in refusal.reason
        assert await client.hear() is None


async def test_clients_are_bounded_and_the_next_is_told(path: Path) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_at(path)) for _ in range(CLIENTS_MAX)]
        async with client_at(path, attach=False) as one_more:
            assert await one_more.hear() == Refusal(reason="16 clients are attached; detach one")
            assert await one_more.hear() is None
        await clients[0].stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        async with client_at(path) as next_one:
            assert await next_one.ask(PING) == PONG
        assert await clients[-1].ask(PING) == PONG


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a message of 1195725856 bytes; expected 1 to 65536"),
        (struct.pack(">I", 0), "a message of 0 bytes; expected 1 to 65536"),
        (frame_of(b"\xff"), "not CBOR"),
        (frame_of(encode_message(PING)), "the first message is not an attach"),
        (frame_of(b"\x82fattach\x80"), "a Attach without major"),
    ],
    ids=["HTTP", "a length of 0", "no CBOR", "a request first", "no fields"],
)
async def test_garbage_costs_its_sender_the_connection_and_nobody_else(
    path: Path, garbage: bytes, reason: str
) -> None:
    async with client_at(path) as bystander:
        async with client_at(path, attach=False) as client:
            await client.stream.send_all(garbage)
            refusal = await client.hear()
            assert isinstance(refusal, Refusal)
            assert refusal.reason.startswith(reason)
            assert await client.hear() is None
        assert await bystander.ask(PING) == PONG


@pytest.mark.parametrize(
    "message", [ATTACH, HELLO, PONG, Refusal(reason="no")], ids=lambda m: type(m).__name__
)
async def test_an_attached_client_may_only_ask(path: Path, message: Message) -> None:
    async with client_at(path) as client:
        await client.say(message)
        assert await client.hear() == Refusal(reason="a message that is not a request")
        assert await client.hear() is None


async def test_a_client_that_goes_in_the_middle_of_anything_hurts_nobody(path: Path) -> None:
    whole = frame_of(encode_message(ATTACH)) + frame_of(encode_message(PING))
    async with client_at(path) as bystander:
        for end in range(len(whole) + 1):
            async with client_at(path, attach=False) as client:
                await client.stream.send_all(whole[:end])
        assert await bystander.ask(PING) == PONG


@pytest.mark.parametrize("attached", [False, True], ids=["attaching", "attached"])
async def test_a_client_that_never_ends_a_message_is_dropped(
    path: Path, attached: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path, attach=attached) as client:
        begun = trio.current_time()
        await client.stream.send_all(struct.pack(">I", REQUEST_BYTES_MAX))
        for _ in range(4):
            await trio.sleep(1)
            await client.stream.send_all(b"x")
        assert await client.hear() is None
        assert trio.current_time() == begun + FRAME_MS / 1000


async def test_a_client_that_says_nothing_at_all_is_dropped(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path, attach=False) as client:
        begun = trio.current_time()
        assert await client.hear() is None
        assert trio.current_time() == begun + FRAME_MS / 1000


async def test_a_client_that_takes_no_answers_is_dropped(
    path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with client_at(path) as client, client_at(path) as bystander:
        flood = Request(id=1, command="flood", arguments={"parts": 17})
        await client.say(flood, flood)
        assert await bystander.ask(PING) == PONG
        await trio.sleep(SEND_MS / 1000 + 1)
        with pytest.raises(trio.BrokenResourceError):
            await client.say(PING)


@pytest.mark.parametrize(
    ("uid", "owner", "allowed"),
    [(1000, 1000, True), (0, 1000, True), (0, 0, True), (1001, 1000, False), (1000, 0, False)],
    ids=["the owner", "root", "root is the owner", "another user", "a user and root's node"],
)
def test_only_the_owner_and_root_may_steer_a_node(uid: int, owner: int, allowed: bool) -> None:
    assert is_allowed(uid, owner=owner) is allowed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_another_user_is_refused_even_where_the_mode_lets_them_in(
    nursery: trio.Nursery,
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        await nursery.start(serve_operator, path, answer, HELLO, WATCHED)
        os.chmod(directory, 0o711)  # noqa: PTH101  pathlib would be taken for slow
        os.chmod(path, 0o666)  # noqa: PTH101
        os.seteuid(65_534)
        try:
            stream = await trio.open_unix_socket(path)
        finally:
            os.seteuid(0)
        async with stream:
            reason = "this socket belongs to another user"
            assert await Client(stream).hear() == Refusal(reason=reason)
        nursery.cancel_scope.cancel()


# --- starting and stopping


def entries(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))  # noqa: PTH208  names only


DESCRIPTORS = Path("/proc/self/fd")


async def test_a_cancel_leaves_no_file_no_task_and_no_descriptor(tmp_path: Path) -> None:
    """House style 18."""
    path = tmp_path / "operator.sock"
    tasks = trio.lowlevel.current_statistics().tasks_living
    before = len(entries(DESCRIPTORS))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_operator, path, answer, HELLO, WATCHED)
        async with client_at(path) as idle, client_at(path) as busy, client_at(path, attach=False):
            assert await idle.ask(PING) == PONG
            await busy.say(Request(id=1, command="sleep"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert entries(tmp_path) == []
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert len(entries(DESCRIPTORS)) == before


async def test_the_second_server_on_a_path_is_refused_and_the_first_goes_on(path: Path) -> None:
    with pytest.raises(ConfigError, match="where another node listens"):
        await serve_operator(path, answer, HELLO, WATCHED)
    async with client_at(path) as client:
        assert await client.ask(PING) == PONG


async def test_a_node_comes_back_at_the_path_it_had(tmp_path: Path) -> None:
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_operator, tmp_path / "s", answer, HELLO, WATCHED)
            async with client_at(tmp_path / "s") as client:
                assert await client.ask(PING) == PONG
            nursery.cancel_scope.cancel()


# --- what it costs the log


async def test_clients_that_are_turned_away_do_not_fill_the_log(
    path: Path, capsys: pytest.CaptureFixture[str], autojump_clock: trio.testing.MockClock
) -> None:
    async def in_vain(times: int) -> None:
        for _ in range(times):
            async with client_at(path, attach=False) as client:
                with suppress(trio.BrokenResourceError):  # it hangs up on what it did not read
                    await client.stream.send_all(b"\xff" * 8)
                    while await client.hear() is not None:
                        pass

    await in_vain(50)
    out = capsys.readouterr().out
    assert out.count("operator_client_malformed") == 1
    async with AsyncExitStack() as stack:
        for _ in range(CLIENTS_MAX):
            await stack.enter_async_context(client_at(path))
        await in_vain(20)
    out = capsys.readouterr().out
    assert out.count("operator_refused") == 1
    assert "too many clients" in out
    await trio.sleep(FAULT_LOG_S)
    await in_vain(1)
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "operator_client_malformed" in x]
    assert "51" in line
