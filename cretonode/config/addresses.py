"""Addresses as people write them: `host:port`, and the multiaddr form for QUIC.

Each address has one canonical text, `str(address)`: genesis is hashed over it.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from cretonode.errors import ConfigError

PORT_MAX: Final = 65_535
ADDRESS_CHARACTERS_MAX: Final = 300  # the longest host name, its port, and some
HOST_CHARACTERS_MAX: Final = 253  # RFC 1035, as text
ALLOWED: Final = (
    '"host:port" (an IPv6 host in brackets) or "/ip4/HOST/udp/PORT/quic", also with ip6 or dns'
)

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_PROTOCOLS: Final = frozenset({"quic", "quic-v1"})


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host, in its canonical text without brackets, and a port."""

    host: str
    port: int

    def __post_init__(self) -> None:
        assert canonical_host(self.host) == self.host, self.host
        assert 1 <= self.port <= PORT_MAX, self.port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def multiaddr(self) -> str:
        """The same address in the multiaddr form."""
        return f"/{_kind_of(self.host)}/{self.host}/udp/{self.port}/quic"

    @property
    def is_unspecified(self) -> bool:
        """True for 0.0.0.0 and ::, where one can listen but which nobody can dial."""
        match _kind_of(self.host):
            case "ip4":
                return IPv4Address(self.host).is_unspecified
            case "ip6":
                return IPv6Address(self.host).is_unspecified
            case _:
                return False


def parse(text: str) -> Address:
    """Return the address that `text` writes in either form.

    Raises: ConfigError, with the text and what is allowed.
    """
    address = None
    if len(text) <= ADDRESS_CHARACTERS_MAX:
        address = _parse_multiaddr(text) if text.startswith("/") else _parse_host_port(text)
    if address is None:
        raise ConfigError(f"{text[:80]!r} is no address; expected {ALLOWED}")
    return address


def parse_host_port(text: str) -> Address:
    """Return the address that `text` writes as `host:port`. Raises: ConfigError."""
    address = None if text.startswith("/") else parse(text)
    if address is None:
        raise ConfigError(f'{text[:80]!r} is no address; expected "host:port"')
    return address


def canonical_host(text: str) -> str | None:
    """Return the one text for a host (no brackets, lower case), or None when it is none."""
    for literal in (IPv4Address, IPv6Address):
        try:
            found = literal(text)
        except ValueError:
            continue
        # A zone ("%eth0") names an interface of this machine: it means nothing to a peer.
        return None if "%" in text else str(found)
    name = text.lower()
    labels = name.split(".")
    if not 1 <= len(name) <= HOST_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, labels)):
        return None
    # RFC 3696, section 2: no name ends in a number, so this is a mistyped IPv4 address.
    return None if labels[-1].isdigit() else name


def _parse_host_port(text: str) -> Address | None:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if bracketed != (":" in host):
        return None
    return _address(host, port)


def _parse_multiaddr(text: str) -> Address | None:
    match text.split("/"):
        case ["", ("ip4" | "ip6" | "dns" | "dns4" | "dns6") as kind, host, "udp", port, protocol]:
            address = _address(host, port) if protocol in _PROTOCOLS else None
        case _:
            return None
    if address is None or _kind_of(address.host) != kind.rstrip("46" if "dns" in kind else ""):
        return None
    return address


def _address(host: str, port: str) -> Address | None:
    found = canonical_host(host)
    if found is None or not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        return None
    return Address(found, int(port))


def _kind_of(host: str) -> str:
    if ":" in host:
        return "ip6"
    return "ip4" if host.rpartition(".")[2].isdigit() else "dns"
