"""Ports of local networks: free for TCP and UDP, and given to no outgoing connection."""

import socket
from contextlib import closing
from pathlib import Path

import pytest

from cretonode.cli.ports import END, FIRST, LOOPBACK, OUTGOING, free_ports, lasting_ports
from cretonode.errors import ConfigError


@pytest.mark.parametrize(
    ("said", "end"),
    [("32768\t60999\n", 32_768), ("11000 60999\n", 11_000)],
)
def test_lasting_ports_end_where_those_of_outgoing_connections_begin(
    tmp_path: Path, said: str, end: int
) -> None:
    (tmp_path / "range").write_text(said)
    assert lasting_ports(tmp_path / "range") == range(FIRST, end)


@pytest.mark.parametrize("said", ["1024 65535\n", "10999 60999\n", "", "many\n", None])
def test_all_serve_where_the_system_leaves_few_or_does_not_say(
    tmp_path: Path, said: str | None
) -> None:
    if said is not None:
        (tmp_path / "range").write_text(said)
    assert lasting_ports(tmp_path / "range") == range(FIRST, END)


@pytest.mark.skipif(not OUTGOING.exists(), reason="says so on Linux")
def test_no_outgoing_connection_takes_the_port_of_a_node_that_is_down() -> None:
    ports = free_ports(12)
    assert len(set(ports)) == 12
    with closing(socket.create_server((LOOPBACK, ports[0]))) as server:
        for _ in range(50):
            with closing(socket.create_connection(server.getsockname())) as client:
                assert client.getsockname()[1] not in lasting_ports()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_left_out(kind: socket.SocketKind) -> None:
    first, second = free_ports(2)
    with closing(socket.socket(socket.AF_INET, kind)) as other:
        other.bind((LOOPBACK, first))
        few = range(min(first, second), max(first, second) + 1, abs(first - second))
        assert list(few) == sorted((first, second))
        assert free_ports(1, few) == [second]
        with pytest.raises(
            ConfigError, match=r"only 1 of the 2 ports needed are free on 127.0.0.1"
        ):
            free_ports(2, few)
