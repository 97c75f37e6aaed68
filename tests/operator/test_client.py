import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from cretonode.errors import ClientError, ConfigError, MalformedMessage, NetworkError
from cretonode.operator.client import OperatorClient, connect
from cretonode.operator.commands import commands_of
from cretonode.operator.protocol import (
    Attach,
    Message,
    Refusal,
    Response,
    encode_message,
    frame_of,
    peers_untrusted,
    peers_value,
    status_untrusted,
    status_value,
)
from cretonode.operator.server import CLIENTS_MAX, serve_operator
from tests.operator.examples import HELLO, PEER_VIEWS, STATUS_VIEW, FakeNode, FakeTools, Watched

T = TypeVar("T")


@pytest.fixture
async def path(tmp_path: Path, nursery: trio.Nursery) -> AsyncGenerator[Path]:
    path = tmp_path / "operator.sock"
    await nursery.start(
        partial(serve_operator, path, commands_of(FakeNode(), FakeTools()), HELLO, Watched())
    )
    yield path
    nursery.cancel_scope.cancel()


async def attached(path: Path, use: Callable[[OperatorClient], T]) -> T:
    """Return what `use` does with a client, in a thread: the client blocks."""

    def run() -> T:
        with connect(path) as client:
            return use(client)

    return await trio.to_thread.run_sync(run)


async def test_it_learns_what_it_is_attached_to(path: Path) -> None:
    assert await attached(path, lambda client: client.hello) == HELLO


async def test_it_asks_for_status_and_peers(path: Path) -> None:
    status = await attached(path, lambda client: client.status())
    assert status == status_untrusted(status_value(STATUS_VIEW))
    peers = await attached(path, lambda client: client.peers())
    assert peers == peers_untrusted(peers_value(PEER_VIEWS))


async def test_it_asks_many_times_over_one_connection(path: Path) -> None:
    assert await attached(path, lambda c: [c.request("ping") for _ in range(50)]) == [None] * 50


async def test_what_the_node_refuses_is_a_client_error_and_the_connection_goes_on(
    path: Path,
) -> None:
    def use(client: OperatorClient) -> None:
        with pytest.raises(ClientError, match="ping takes no arguments"):
            client.request("ping", {"loud": True})
        client.request("ping")

    await attached(path, use)


async def test_a_node_with_too_many_clients_is_heard_out(path: Path) -> None:
    others = [await trio.open_unix_socket(path) for _ in range(CLIENTS_MAX)]
    with pytest.raises(ClientError, match="refused: 16 clients are attached; detach one"):
        await attached(path, lambda client: client.hello)
    for other in others:
        await other.aclose()


# --- nodes that are not there or not themselves


@pytest.mark.parametrize("left", [False, True], ids=["no socket", "a crashed node's socket"])
def test_where_no_node_listens_it_says_so(tmp_path: Path, left: bool) -> None:
    path = tmp_path / "operator.sock"
    if left:
        with socket.socket(socket.AF_UNIX) as crashed:
            crashed.bind(str(path))
    with pytest.raises(NetworkError) as caught:
        connect(path)
    assert str(caught.value) == f"no node listens at {path}: is it running?"


def test_what_is_no_socket_is_no_node(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NetworkError, match="no node listens at"):
        connect(tmp_path / "file")


def test_a_path_that_is_too_long_is_the_operators_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is too long for a socket: expected at most 107 bytes"):
        connect(tmp_path / ("s" * 108))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_socket_of_another_user_says_whose_it_is_not(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        os.seteuid(65_534)
        try:
            with pytest.raises(NetworkError, match="belongs to another user: run this as them"):
                connect(path)
        finally:
            os.seteuid(0)


def answers_of(path: Path, *answers: bytes) -> Callable[[], None]:
    """Return a node that hears an attach, says `answers` to it, and hangs up."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(4096)
            for answer in answers:
                connection.sendall(answer)

    return serve


def bytes_of(message: Message) -> bytes:
    return frame_of(encode_message(message))


NEWER = Refusal(major=2, reason="this node speaks 2")


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"", NetworkError, "closed the connection"),
        (bytes_of(HELLO)[:-1], NetworkError, "closed the connection"),
        (b"HTTP/1.1 400\r\n\r\n", MalformedMessage, "a message of 1213486160 bytes"),
        (struct.pack(">I", 1) + b"\xff", MalformedMessage, "not CBOR"),
        (bytes_of(Attach(software="x")), MalformedMessage, "is no hello"),
        (bytes_of(NEWER), ClientError, "refused: this node speaks 2"),
        (bytes_of(replace(HELLO, major=2)), ClientError, "speaks operator protocol 2"),
    ],
    ids=[
        "nothing", "half a hello", "HTTP", "no CBOR", "no hello", "a refusal", "a newer hello",
    ],
)  # fmt: skip
async def test_a_node_that_answers_anything_else_is_named_for_it(
    tmp_path: Path, answer: bytes, error: type[Exception], text: str
) -> None:
    path = tmp_path / "s"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, answers_of(path, answer))
        with pytest.raises(error, match=text):
            await attached(path, lambda client: client.hello)


async def test_an_answer_to_another_request_is_refused(tmp_path: Path) -> None:
    serve = answers_of(tmp_path / "s", bytes_of(HELLO) + bytes_of(Response(id=9, ok=True)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, serve)
        with pytest.raises(MalformedMessage, match="the node answered another request"):
            await attached(tmp_path / "s", lambda client: client.request("ping"))


def test_a_silent_node_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(NetworkError, match="did not answer within 1 ms"):
            connect(path, timeout_ms=1)
