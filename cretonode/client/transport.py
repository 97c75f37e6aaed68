"""From a call to an httpx request, and from its response to a reply. Shared by both clients."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypedDict
from urllib.parse import urlsplit

import httpx

from cretonode.client.calls import Answer, Call, Reply
from cretonode.client.errors import BadAnswer, Unreachable
from cretonode.errors import ClientError

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """In milliseconds. `answer_ms` comes on top of what a call asks the node to wait."""

    connect_ms: int = 3_000
    answer_ms: int = 10_000

    def of(self, call: Call[Answer]) -> httpx.Timeout:
        """Return the times that httpx allows for a call."""
        answer_s = self.answer_ms / 1000
        return httpx.Timeout(
            connect=self.connect_ms / 1000,
            read=answer_s + call.wait_ms / 1000,
            write=answer_s,
            pool=answer_s,
        )


class Settings(TypedDict):
    """How both httpx clients are made."""

    base_url: str
    headers: dict[str, str]
    trust_env: bool
    follow_redirects: bool


def settings_for(url: str) -> Settings:
    """Return how to make an httpx client for the node at `url`. Raises: ClientError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if "@" in url:  # not repeated here: it may hold a password, and this ends up in logs
        raise ClientError("a node's address has no user and no password; expected http://HOST:PORT")
    if not usable:
        raise ClientError(f"{url!r} is not a node's address; expected http://HOST:PORT")
    return {
        "base_url": url,
        # What we ask for is small or not compressible, and an inflated bomb is neither.
        "headers": {"accept": "application/json", "accept-encoding": "identity"},
        "trust_env": False,  # a proxy for the Internet is no way to a validator
        "follow_redirects": False,
    }


@contextmanager
def transport_errors(url: str) -> Generator[None]:
    """Translate what httpx raises. Raises: Unreachable."""
    try:
        yield
    except httpx.RequestError as error:
        cause = str(error) or type(error).__name__
        raise Unreachable(f"no answer from {url}: {cause}") from error


def add_bounded(body: bytearray, chunk: bytes) -> None:
    """Append a piece of an answer. Raises: BadAnswer, when it grows too large."""
    if len(body) + len(chunk) > ANSWER_BYTES_MAX:
        raise BadAnswer(f"the answer has more than {ANSWER_BYTES_MAX} bytes")
    body += chunk


def reply_of(response: httpx.Response, body: bytearray) -> Reply:
    """Return what the clients' common part needs of a response."""
    value = response.headers.get("retry-after", "")
    digits = value.isascii() and value.isdigit() and len(value) <= 6  # or a date: not ours
    return Reply(
        status=response.status_code,
        body=bytes(body),
        retry_after_s=float(value) if digits else None,
    )


def headers_of(call: Call[Answer]) -> dict[str, str]:
    """Return the headers of a call besides the common ones."""
    return {} if call.content_type is None else {"content-type": call.content_type}
