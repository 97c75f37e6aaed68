"""The bounds and times of the HTTP interface, in one place, with what holds between them.

What happens at each bound stands in docs/api.md.
"""

from dataclasses import dataclass
from typing import Final

from cretonode.limits import TRANSACTION_BYTES_MAX

FINALIZED_COUNT_MAX: Final = 100  # sequences in one answer
FINALIZED_COUNT_DEFAULT: Final = 10
FINALIZED_CHUNK: Final = 8  # sequences asked of the node at a time
ANSWER_TRANSACTIONS_MAX: Final = 16_384  # ids in one answer, as far as whole sequences allow
HEADER_BYTES_MAX: Final = 16 * 1024  # request line and headers; unread, at most 64 KiB more
PROBES_MAX: Final = 16  # health probes that are answered when all requests are taken
DRAIN_BODIES_MAX: Final = 8  # largest bodies' worth that is read after a refusal, and thrown away
RETRY_AFTER_S: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Times in milliseconds, sizes in bytes. The first six are keys of [api] in node.toml.

    A wait holds a request, so `waits_max` stays below `requests_max`: however many wait for
    finality, others are still served.
    """

    host: str = "0.0.0.0"  # noqa: S104  the SPEC's default; containers need it
    port: int = 8080  # 0: the system chooses
    cors_enabled: bool = True
    cors_origins: tuple[str, ...] = ("*",)
    request_bytes_max: int = 4 * 1024 * 1024
    wait_ms_max: int = 30_000
    connections_max: int = 1_024  # more wait to be accepted
    backlog: int = 256  # connections that the kernel keeps for us until they are accepted
    requests_max: int = 512  # at a time
    waits_max: int = 384  # requests that wait for finality, at a time
    bodies_bytes_max: int = 64 * 1024 * 1024  # of all requests that are being read or served
    keep_alive_ms: int = 15_000  # an idle connection, and a request line with its headers
    body_ms_max: int = 20_000  # for a body to arrive whole
    write_ms_max: int = 20_000  # for a client to take one piece of an answer
    linger_ms_max: int = 1_000  # for a client to read why its body was refused
    stop_ms_max: int = 1_500  # for requests in flight when the server stops

    def __post_init__(self) -> None:
        assert 0 <= self.port <= 65_535, self.port
        assert self.request_bytes_max >= 2 * TRANSACTION_BYTES_MAX, "any encoding of the largest"
        assert self.bodies_bytes_max >= self.request_bytes_max, self.bodies_bytes_max
        assert 0 <= self.waits_max < self.requests_max <= self.connections_max, self.requests_max
        assert self.wait_ms_max >= 0, self.wait_ms_max
        assert self.linger_ms_max <= self.stop_ms_max <= 2_000, self.stop_ms_max
