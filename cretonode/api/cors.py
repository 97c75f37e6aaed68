"""Which pages of other origins may use the API from a browser.

Pure. Only browsers obey this, and only for pages: it protects users of pages, not the node.
Source: WHATWG Fetch, section "CORS protocol".
"""

from collections.abc import Iterable
from typing import Final

from cretonode.api.settings import ApiSettings

Headers = list[tuple[bytes, bytes]]

PREFLIGHT_SECONDS: Final = b"3600"
METHODS: Final = b"GET, HEAD, POST"
REQUEST_HEADERS: Final = b"accept, content-type"
EXPOSED_HEADERS: Final = b"allow, retry-after"


class Cors:
    """The decision for each request, from the settings."""

    def __init__(self, settings: ApiSettings) -> None:
        self._origins: frozenset[bytes] = frozenset()
        if settings.cors_enabled:
            self._origins = frozenset(origin.encode() for origin in settings.cors_origins)
        self._any = b"*" in self._origins

    def headers(self, origin: bytes | None) -> Headers:
        """Return what an answer to a page of `origin` carries. None: not from another page."""
        if self._any:
            allowed = b"*"
        elif self._origins:
            # The answer depends on the origin also when it is refused: a cache must know.
            if origin not in self._origins:
                return [(b"vary", b"Origin")]
            allowed = origin
        else:
            return []
        headers = [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
        ]
        return headers if self._any else [*headers, (b"vary", b"Origin")]

    def preflight_headers(self, origin: bytes | None) -> Headers:
        """Return what the answer to a preflight carries; nothing permits nothing."""
        headers = self.headers(origin)
        if any(name == b"access-control-allow-origin" for name, _ in headers):
            headers += [
                (b"access-control-allow-methods", METHODS),
                (b"access-control-allow-headers", REQUEST_HEADERS),
                (b"access-control-max-age", PREFLIGHT_SECONDS),
            ]
        return headers


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a browser asks here if a page may send its request."""
    return method == "OPTIONS" and header(headers, b"access-control-request-method") is not None


def header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """Return the first header of the name `wanted`, which is in lower case."""
    return next((value for name, value in headers if name.lower() == wanted), None)
