"""Every way in which a request is refused, as an application/problem+json answer.

A client tells problems apart by `type`; `detail` says what is wrong, where, and what is allowed.
Source: RFC 9457 (problem details), RFC 9110 section 15 (status codes).
"""

import json
import secrets
from typing import Final

import structlog
from werkzeug.exceptions import (
    BadHost,
    BadRequest,
    HTTPException,
    MethodNotAllowed,
    NotFound,
)

from cretonode.api.settings import HEADER_BYTES_MAX, RETRY_AFTER_S
from cretonode.errors import Backpressure, ClientError, NotReady

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:cretonode:problem:"

# Each problem's name, which ends its `type`, with its status and its title.
PROBLEMS: Final[dict[str, tuple[int, str]]] = {
    "malformed-request": (400, "The request cannot be understood"),
    "invalid-transaction": (400, "A transaction cannot be accepted"),
    "rejected": (400, "The node rejects the request"),
    "not-found": (404, "Not known here"),
    "no-such-route": (404, "No such path"),
    "method-not-allowed": (405, "The path does not have this method"),
    "body-timeout": (408, "The body did not arrive in time"),
    "body-too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The content type or coding is not supported"),
    "headers-too-large": (431, "The request line or the headers are too large"),
    "internal-error": (500, "The node failed to answer"),
    "backpressure": (503, "Too many transactions wait"),
    "overloaded": (503, "Too many requests at a time"),
    "too-many-waits": (503, "Too many requests wait for finality"),
    "not-ready": (503, "The node is not ready"),
}

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Problem(ClientError):
    """A request is refused, and this is the answer."""

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        retry_after_s: int | None = None,
        allow: tuple[str, ...] = (),
        error_id: str | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(detail)
        assert name in PROBLEMS, name
        self.name = name
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.allow = allow
        self.error_id = error_id
        self.closes = closes  # the connection, after the answer

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return PROBLEMS[self.name][0]

    def body(self) -> bytes:
        """Return the document."""
        status, title = PROBLEMS[self.name]
        document: dict[str, str | int] = {
            "type": TYPE_PREFIX + self.name,
            "title": title,
            "status": status,
            "detail": self.detail,
        }
        if self.error_id is not None:
            document["error_id"] = self.error_id
        return json.dumps(document).encode()

    def headers(self) -> dict[str, str]:
        """Return what goes with the document, besides its length."""
        headers = {"content-type": PROBLEM_TYPE}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        if self.allow:
            headers["allow"] = ", ".join(self.allow)
        if self.closes:
            headers["connection"] = "close"
        return headers


def overloaded(detail: str, *, name: str = "overloaded") -> Problem:
    """Return the refusal at one of our own bounds: try again soon."""
    return Problem(name, detail, retry_after_s=RETRY_AFTER_S)


def headers_too_large() -> Problem:
    """Return the refusal of a request line and headers over their bound."""
    detail = f"the request line and the headers have at most {HEADER_BYTES_MAX} bytes"
    return Problem("headers-too-large", detail)


def framed_twice() -> Problem:
    """Return the refusal of a body with two lengths. Source: RFC 9112, 6.1 (request smuggling)."""
    detail = "Content-Length and Transfer-Encoding in one request; one of them"
    return Problem("malformed-request", detail, closes=True)


def problem_of(error: Exception, *, method: str, path: str) -> Problem:
    """Return the answer to whatever went wrong while serving `method` `path`.

    What nobody foresaw is logged under an id, and the client gets only the id.
    """
    match error:
        case Problem():
            return error
        case Backpressure():
            return overloaded(str(error), name="backpressure")
        case NotReady():
            return overloaded(str(error), name="not-ready")
        case ClientError():
            return Problem("rejected", str(error))
        case ExceptionGroup(exceptions=(Exception() as only,)):  # trio's, around one error
            return problem_of(only, method=method, path=path)
        case HTTPException():
            problem = _problem_of_http(error, method=method, path=path)
            if problem is not None:
                return problem
        case _:
            pass
    error_id = secrets.token_hex(8)
    log.error("request_failed", error_id=error_id, method=method, path=path, exc_info=error)
    return Problem(
        "internal-error",
        f"an unexpected error; the node's log has it under error_id {error_id}",
        error_id=error_id,
    )


def _problem_of_http(error: HTTPException, *, method: str, path: str) -> Problem | None:
    match error:
        case MethodNotAllowed():
            allow = tuple(sorted(error.valid_methods or ()))
            detail = f"{path} has no method {method}; allowed: {', '.join(allow)}"
            return Problem("method-not-allowed", detail, allow=allow)
        case NotFound():
            return Problem("no-such-route", f"no path {path} here; GET /docs lists them all")
        case BadHost():
            return Problem("malformed-request", "the Host header is not a host and a port")
        case BadRequest():
            return Problem("malformed-request", error.description or "malformed request")
        case _:
            return None
