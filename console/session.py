"""One conversation with a node over the operator protocol, without the socket.

Sans-IO: bytes come in, messages come out; whoever owns the socket sends what is returned.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from cretonode.operator.protocol import (
    ID_MAX,
    REQUEST_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    VERSION_MAJOR,
    WATCH,
    Attach,
    Delta,
    FrameBuffer,
    Hello,
    MalformedMessage,
    Refusal,
    Request,
    Response,
    Value,
    decode_message_untrusted,
    encode_message,
    frame_of,
)

VERSION_MINOR_MIN: Final = 2  # from there on a node can be watched


class Refused(Exception):
    """The node does not work with this console; the text says why."""


class Heard(NamedTuple):
    """A message of the node's, and its bytes: what a recording keeps."""

    message: Hello | Delta | Response
    encoded: bytes


class Session:
    """One connection from attach to end. Bound: one message of the node's."""

    def __init__(self, software: str, interval_ms: int) -> None:
        self._software = software
        self._interval_ms = interval_ms
        self._frames = FrameBuffer(RESPONSE_BYTES_MAX)
        self._attached = False
        self._last_id = 0

    def opening(self) -> bytes:
        """Return what to send first."""
        return frame_of(encode_message(Attach(software=self._software)))

    def watching(self) -> bytes:
        """Return what to send after the hello: from then on deltas come."""
        return self.request(WATCH, {"interval_ms": self._interval_ms})[1]

    def request(self, command: str, arguments: Mapping[str, Value]) -> tuple[int, bytes]:
        """Return the id and the bytes of a request."""
        self._last_id = self._last_id % ID_MAX + 1
        message = Request(id=self._last_id, command=command, arguments=arguments)
        encoded = encode_message(message)
        assert len(encoded) <= REQUEST_BYTES_MAX, len(encoded)
        return self._last_id, frame_of(encoded)

    def feed_untrusted(self, data: bytes) -> list[Heard]:
        """Return the messages that are whole now. Raises: MalformedMessage, Refused."""
        self._frames.feed(data)
        heard: list[Heard] = []
        while (encoded := self._frames.next_untrusted()) is not None:
            heard.append(self._heard(encoded))
        return heard

    def _heard(self, encoded: bytes) -> Heard:
        message = decode_message_untrusted(encoded)
        match message:
            case Refusal(reason=reason):
                raise Refused(reason)
            case Hello() if not self._attached:
                _check_version(message)
                self._attached = True
                return Heard(message, encoded)
            case Delta() | Response() if self._attached:
                return Heard(message, encoded)
            case _:
                raise MalformedMessage("a message that no node says here")


def _check_version(hello: Hello) -> None:
    if hello.major != VERSION_MAJOR or hello.minor < VERSION_MINOR_MIN:
        raise Refused(
            f"the node ({hello.software}) speaks operator protocol {hello.major}.{hello.minor}, "
            f"this console {VERSION_MAJOR}.{VERSION_MINOR_MIN} or later: use the one that came "
            "with the node"
        )
