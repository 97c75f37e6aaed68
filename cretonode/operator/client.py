"""A client of the operator socket without trio: for `cretonode status` and the like."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

from cretonode import __version__
from cretonode.crypto.canonical import Value
from cretonode.errors import ClientError, ConfigError, MalformedMessage, NetworkError
from cretonode.operator.protocol import (
    ID_MAX,
    PEERS,
    RESPONSE_BYTES_MAX,
    SOCKET_PATH_BYTES_MAX,
    STATUS,
    VERSION_MAJOR,
    Attach,
    FrameBuffer,
    Hello,
    Message,
    PeerSnapshot,
    Refusal,
    Request,
    Response,
    StatusSnapshot,
    decode_message_untrusted,
    encode_message,
    frame_of,
    peers_untrusted,
    status_untrusted,
)

TIMEOUT_MS: Final = 15_000  # longer than the node takes to give up on its own answer
RECEIVE_BYTES: Final = 64 * 1024
NO_ARGUMENTS: Final[Mapping[str, Value]] = MappingProxyType({})


def connect(path: Path, timeout_ms: int = TIMEOUT_MS) -> "OperatorClient":
    """Return a client attached to the node at `path`; each of its calls has `timeout_ms`.

    Raises: NetworkError, when no node answers there; ClientError, when it refuses; ConfigError,
    when `path` cannot be a socket's; MalformedMessage.
    """
    if len(bytes(path)) > SOCKET_PATH_BYTES_MAX:
        raise ConfigError(
            f"{path} is too long for a socket: expected at most {SOCKET_PATH_BYTES_MAX} bytes"
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout_ms / 1000)
        _open(connection, path)
        return OperatorClient(connection, path, timeout_ms)
    except BaseException:
        connection.close()
        raise


class OperatorClient:
    """One attached client, used by one thread. `hello` says what it is attached to."""

    def __init__(self, connection: socket.socket, path: Path, timeout_ms: int) -> None:
        self._connection = connection
        self._path = path
        self._timeout_ms = timeout_ms
        self._frames = FrameBuffer(RESPONSE_BYTES_MAX)
        self._last_id = 0
        hello = self._exchange(Attach(software=f"cretonode {__version__}"))
        if not isinstance(hello, Hello):
            raise MalformedMessage("the node's first message is no hello")
        if hello.major != VERSION_MAJOR:
            raise ClientError(
                f"the node ({hello.software}) speaks operator protocol {hello.major}, this command "
                f"{VERSION_MAJOR}: use the one that came with the node"
            )
        self.hello = hello

    def request(self, command: str, arguments: Mapping[str, Value] = NO_ARGUMENTS) -> Value:
        """Return the node's answer.

        Raises: ClientError, when it is a refusal; NetworkError, when none comes; MalformedMessage.
        """
        self._last_id = self._last_id % ID_MAX + 1
        answer = self._exchange(Request(id=self._last_id, command=command, arguments=arguments))
        if not isinstance(answer, Response) or answer.id != self._last_id:
            raise MalformedMessage("the node answered another request")
        if not answer.ok:
            raise ClientError(answer.error)
        return answer.value

    def status(self) -> StatusSnapshot:
        """Return where the node stands. Raises: as `request`."""
        return status_untrusted(self.request(STATUS))

    def peers(self) -> tuple[PeerSnapshot, ...]:
        """Return the other validators. Raises: as `request`."""
        return peers_untrusted(self.request(PEERS))

    def close(self) -> None:
        """Detach."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _exchange(self, message: Message) -> Message:
        deadline_s = time.monotonic() + self._timeout_ms / 1000
        try:
            self._send(frame_of(encode_message(message)))
            answer = self._receive(deadline_s)
        except TimeoutError:
            raise NetworkError(
                f"the node at {self._path} did not answer within {self._timeout_ms} ms"
            ) from None
        except OSError as error:
            raise NetworkError(f"the node at {self._path} went away: {error.strerror}") from error
        if isinstance(answer, Refusal):
            raise ClientError(f"the node at {self._path} refused: {answer.reason}")
        return answer

    def _send(self, frame: bytes) -> None:
        try:
            self._connection.settimeout(self._timeout_ms / 1000)
            self._connection.sendall(frame)
        except BrokenPipeError:
            pass  # refused before we spoke: the reason is here to be read

    def _receive(self, deadline_s: float) -> Message:
        while (message := self._frames.next_untrusted()) is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._connection.settimeout(left_s)
            data = self._connection.recv(RECEIVE_BYTES)
            if not data:
                raise NetworkError(f"the node at {self._path} closed the connection")
            self._frames.feed(data)
        return decode_message_untrusted(message)


def _open(connection: socket.socket, path: Path) -> None:
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        raise NetworkError(f"no node listens at {path}: is it running?") from None
    except PermissionError:
        raise NetworkError(f"{path} belongs to another user: run this as them or root") from None
    except OSError as error:
        raise NetworkError(f"cannot connect to {path}: {error.strerror or error}") from error
