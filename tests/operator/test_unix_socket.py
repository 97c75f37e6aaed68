import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import trio
import trio.testing

from cretonode.errors import ConfigError
from cretonode.operator.unix_socket import listening_at, peer_uid


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask 000", "umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Generator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.usefixtures("umask")
async def test_the_socket_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """SPEC M3."""
    path = tmp_path / "operator.sock"
    async with listening_at(path):
        assert mode_of(path) == 0o600


async def test_the_socket_is_gone_afterwards_even_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"

    async def fail() -> None:
        async with listening_at(path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not path.exists()


async def test_a_socket_that_nobody_answers_on_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
        crashed.listen()
    assert path.is_socket()
    async with listening_at(path):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


async def test_a_socket_that_a_node_listens_on_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    async with listening_at(path) as listener:
        with pytest.raises(ConfigError, match="where another node listens: stop it or give"):
            async with listening_at(path):
                pytest.fail("two nodes share a path")
        listener.accept()[0].close()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


async def test_a_node_too_busy_to_accept_is_no_stale_one(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ConfigError, match="where another node listens"):
            async with listening_at(path):
                pytest.fail("two nodes share a path")
    assert path.is_socket()


@pytest.mark.parametrize(
    "make",
    [Path.touch, Path.mkdir, lambda path: path.symlink_to("elsewhere")],
    ids=["file", "directory", "link"],
)
async def test_what_is_no_socket_is_never_removed(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "operator.sock"
    make(path)
    with pytest.raises(ConfigError, match="which exists and is no socket"):
        async with listening_at(path):
            pytest.fail("something was removed")
    assert path.is_symlink() or path.exists()


async def test_a_socket_that_took_our_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "operator.sock"
    async with listening_at(path):
        path.unlink()
        async with listening_at(path):
            pass
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
    assert path.is_socket()


async def test_a_path_is_too_long_from_108_bytes_on() -> None:
    """Linux unix(7): sun_path has 108 bytes, the last is zero."""
    with tempfile.TemporaryDirectory() as directory:  # `tmp_path` is itself too long
        longest = Path(directory) / ("s" * (107 - len(directory) - 1))
        async with listening_at(longest):
            assert longest.is_socket()
        with pytest.raises(ConfigError) as caught:
            async with listening_at(longest.with_name(longest.name + "s")):
                pytest.fail("it was too long")
    assert str(caught.value).endswith("s, 108 bytes; expected a path of at most 107 bytes")


async def test_a_missing_directory_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "operator.sock"
    with pytest.raises(ConfigError) as caught:
        async with listening_at(path):
            pytest.fail("where?")
    assert str(caught.value) == (
        f"node.operator_socket: cannot listen at {path}: No such file or directory"
    )


async def test_one_that_starts_waits_for_another_that_starts_beside_it(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        with pytest.raises(ConfigError, match=r"another process holds .* locked"):
            async with listening_at(tmp_path / "operator.sock"):
                pytest.fail("both look at once")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start_and_stop, tmp_path / "operator.sock")
            await trio.testing.wait_all_tasks_blocked()
            fcntl.flock(other, fcntl.LOCK_UN)
    finally:
        os.close(other)


async def start_and_stop(path: Path) -> None:
    async with listening_at(path):
        assert mode_of(path) == 0o600


def test_the_kernel_says_who_connected() -> None:
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far:
        assert peer_uid(near) == os.geteuid()
