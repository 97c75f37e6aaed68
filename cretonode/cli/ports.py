"""Ports for the nodes of a network on one machine, which are theirs also when they are down."""

import secrets
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from cretonode.errors import ConfigError

LOOPBACK: Final = "127.0.0.1"
FIRST: Final = 10_000  # below it are ports that somebody has registered and may want
END: Final = 65_536
NARROWEST: Final = 1_000
# What Linux gives to outgoing connections (ip(7)): "32768\t60999" where nobody has changed it.
OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def lasting_ports(outgoing: Path = OUTGOING) -> range:
    """Return ports that no outgoing connection is given, so that a restarted node finds its own.

    All from FIRST on where the system leaves hardly any, or does not say (`outgoing`).
    """
    try:
        end = int(outgoing.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        end = END
    return range(FIRST, end if end - FIRST >= NARROWEST else END)


def free_ports(count: int, among: range | None = None) -> list[int]:
    """Return ports of the loopback that are free now, for UDP and TCP alike.

    Raises: ConfigError when `among` (default: the lasting ones) has too few.
    """
    among = lasting_ports() if among is None else among
    found: list[int] = []
    with ExitStack() as held:
        for port in secrets.SystemRandom().sample(among, len(among)):
            if len(found) == count:
                break
            if _hold(port, held):
                found.append(port)
    if len(found) < count:
        raise ConfigError(
            f"only {len(found)} of the {count} ports needed are free on {LOOPBACK} between "
            f"{among[0]} and {among[-1]}"
        )
    return found


def _hold(port: int, held: ExitStack) -> bool:
    """Bind the port until `held` closes. Return whether it was free."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        end = held.enter_context(socket.socket(socket.AF_INET, kind))
        try:
            end.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
