"""The forms that a text in the configuration may be required to have."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cretonode.config import addresses
from cretonode.errors import ConfigError

LABEL_CHARACTERS_MAX: Final = 64
SOCKET_PATH_BYTES_MAX: Final = 107  # sun_path of Linux without its final zero


@dataclass(frozen=True, slots=True)
class Form:
    """A rule for a text: what is allowed, in words and as a test."""

    allowed: str
    accepts: Callable[[str], bool]


def is_label(text: str) -> bool:
    """Return whether `text` can name a node: short, visible, no space around it."""
    return 1 <= len(text) <= LABEL_CHARACTERS_MAX and text.isprintable() and text == text.strip()


def _is_path(text: str) -> bool:
    return text.isprintable() and text.strip() != ""


def _is_path_or_empty(text: str) -> bool:
    return text == "" or _is_path(text)


def _is_socket_path(text: str) -> bool:
    return _is_path(text) and len(text.encode()) <= SOCKET_PATH_BYTES_MAX


def _is_host(text: str) -> bool:
    return addresses.canonical_host(text) is not None


def _is_listen_address(text: str) -> bool:
    try:
        addresses.parse_host_port(text)
    except ConfigError:
        return False
    return True


def _is_dialled_address(text: str) -> bool:
    return not text.startswith("/") and _is_peer_address(text)


def _is_peer_address(text: str) -> bool:
    try:
        return not addresses.parse(text).is_unspecified
    except ConfigError:
        return False


def _is_origin(text: str) -> bool:
    match = _ORIGIN.fullmatch(text)
    return text == "*" or (match is not None and _is_host(match["host"].strip("[]")))


def _is_url_path(text: str) -> bool:
    return _URL_PATH.fullmatch(text) is not None


_ORIGIN: Final = re.compile(r"https?://(?P<host>\[[0-9a-f:.]+\]|[^/:@\[\]]+)(:[0-9]{1,5})?")
_URL_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]{0,99}", re.ASCII)

LABEL: Final = Form("1 to 64 printable characters with no space around them", is_label)
PATH: Final = Form("the path of a file or directory", _is_path)
PATH_OR_EMPTY: Final = Form("the path of a file, or empty for none", _is_path_or_empty)
SOCKET_PATH: Final = Form(f"a path of at most {SOCKET_PATH_BYTES_MAX} bytes", _is_socket_path)
HOST: Final = Form("an IP address or a host name", _is_host)
LISTEN_ADDRESS: Final = Form('"host:port" (an IPv6 host in brackets)', _is_listen_address)
DIALLED_ADDRESS: Final = Form(
    '"host:port" of another machine (an IPv6 host in brackets)', _is_dialled_address
)
PEER_ADDRESS: Final = Form(addresses.ALLOWED, _is_peer_address)
ORIGIN: Final = Form('"*" or an origin such as "https://example.org"', _is_origin)
URL_PATH: Final = Form('a path such as "/metrics"', _is_url_path)
