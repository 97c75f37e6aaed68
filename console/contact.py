"""What connects the console with a node or with a recording, as its screens see it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from cretonode.operator.protocol import Delta, Hello, Value

BACK_OFF_MS: Final = (250, 500, 1_000, 2_000, 4_000)  # then the last one again and again
STALE_MS: Final = 2_500  # a delta comes at least each second


class Link(Enum):
    """How the connection stands."""

    SEEKING = "seeking"  # never attached so far
    ATTACHED = "attached"
    LOST = "lost"
    RECORDING = "recording"


@dataclass(frozen=True, slots=True)
class Contact:
    """The connection, and in words what keeps it from standing."""

    link: Link
    problem: str = ""


class Listener(Protocol):
    """Whom a source tells. Satisfied by the application."""

    def on_hello(self, hello: Hello) -> None:
        """A node has answered."""

    def on_delta(self, delta: Delta) -> None:
        """Something changed. Raises: MalformedMessage."""

    def on_contact(self, contact: Contact) -> None:
        """The connection came or went."""


class RequestFailed(Exception):
    """The node refused, or could not be asked; the text says why."""


class Commands(Protocol):
    """Whom the screens ask. Satisfied by a live source."""

    async def request(self, command: str, arguments: Mapping[str, Value]) -> Value:
        """Return the node's answer. Raises: RequestFailed."""


def back_off_ms(failures: int) -> int:
    """Return how long to wait after so many failures in a row, from 1."""
    return BACK_OFF_MS[min(failures, len(BACK_OFF_MS)) - 1]


def is_stale(contact: Contact, silence_ms: float) -> bool:
    """True when what was heard last says nothing about now."""
    if contact.link is Link.RECORDING:
        return bool(contact.problem)
    return silence_ms >= STALE_MS


def why_stale(contact: Contact, silence_ms: float) -> str:
    """Return why what was heard last says nothing about now."""
    if contact.link is Link.RECORDING:
        return contact.problem
    return f"this node says nothing for {silence_ms / 1000:.0f} s"


def banner(contact: Contact, silence_ms: float, *, has_data: bool) -> str:
    """Return the line that says what is shown is not the present; empty when it is."""
    if contact.link is Link.RECORDING:
        return ""
    seconds = f"{silence_ms / 1000:.0f} s"
    if contact.link is Link.ATTACHED:
        if silence_ms < STALE_MS or not has_data:
            return ""
        return f"stale {seconds}: the node is attached and says nothing"
    if not has_data:
        return f"waiting for a node: {contact.problem}" if contact.problem else "attaching"
    return f"stale {seconds}, trying again: {contact.problem or 'the connection ended'}"
