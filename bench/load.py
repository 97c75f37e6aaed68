"""The load generator: offers batches at a rate and times each to acceptance and to finality."""

import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cbor2
import httpcore
import trio

CBOR = [("content-type", "application/cbor")]
NETWORK_ERRORS = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
TIMEOUTS_S = {"connect": 30.0, "read": 30.0, "write": 30.0, "pool": 30.0}


@dataclass(slots=True)
class Timings:
    """All in seconds. One entry for each batch; `final_s` counts from acceptance."""

    accepted_s: list[float] = field(default_factory=list)
    final_s: list[float] = field(default_factory=list)
    transactions: int = 0
    refused: int = 0  # batches answered 429 or 503
    failed: list[str] = field(default_factory=list)
    late_s: float = 0.0  # how far the generator itself fell behind its schedule, at worst


async def offer(
    urls: Sequence[str],
    *,
    rate_per_s: float,
    batch: int,
    transaction_bytes: int,
    duration_s: float,
) -> Timings:
    """Offer `rate_per_s` transactions in batches, to `urls` in turn, for `duration_s`.

    Open loop, see `start_on_schedule`.
    """
    timings = Timings()
    async with (
        httpcore.AsyncConnectionPool(
            max_connections=256, max_keepalive_connections=256, keepalive_expiry=5.0
        ) as client,
        trio.open_nursery() as nursery,
    ):

        async def send(number: int) -> None:
            await _one(client, urls[number % len(urls)], batch, transaction_bytes, timings)

        await start_on_schedule(
            nursery,
            send,
            per_s=rate_per_s / batch,
            count=round(rate_per_s * duration_s / batch),
            timings=timings,
        )
    return timings


async def start_on_schedule(
    nursery: trio.Nursery,
    send: Callable[[int], Awaitable[None]],
    *,
    per_s: float,
    count: int,
    timings: Timings,
) -> None:
    """Start `send(0)` to `send(count - 1)` in `nursery`, `per_s` of them each second.

    Open loop: one goes out when its time has come, whatever became of those before it.
    """
    began_s = trio.current_time()
    for number in range(count):
        due_s = began_s + number / per_s
        await trio.sleep_until(due_s)
        timings.late_s = max(timings.late_s, trio.current_time() - due_s)
        nursery.start_soon(send, number)


def random_transactions(count: int, size: int) -> list[bytes]:
    """Return `count` different transactions of `size` bytes, at least 16."""
    filler = bytes(max(0, size - 16))
    return [os.urandom(16) + filler for _ in range(count)]


async def _one(
    client: httpcore.AsyncConnectionPool, url: str, batch: int, size: int, timings: Timings
) -> None:
    """Submit one batch and wait until it is final.

    httpcore, the layer below httpx: the generator shares its cores with the nodes it measures.
    """
    body = cbor2.dumps(random_transactions(batch, size))
    began_s = time.perf_counter()
    try:
        answer = await client.request(
            "POST",
            f"{url}/v1/transactions",
            headers=CBOR,
            content=body,
            extensions={"timeout": TIMEOUTS_S},
        )
        if answer.status in (429, 503):
            timings.refused += 1
            return
        accepted = _read(answer)
        accepted_s = time.perf_counter()
        last = accepted["transactions"][-1]["id"]
        final = await client.request(
            "GET",
            f"{url}/v1/transactions/{last}?wait=20000",
            extensions={"timeout": TIMEOUTS_S},
        )
        if _read(final)["sequence"] is None:
            timings.failed.append("not final after 20 s")
            return
    except (*NETWORK_ERRORS, ValueError, KeyError) as error:
        timings.failed.append(f"{type(error).__name__}: {error}")
        return
    timings.accepted_s.append(accepted_s - began_s)
    timings.final_s.append(time.perf_counter() - accepted_s)
    timings.transactions += batch


def _read(answer: httpcore.Response) -> dict[str, Any]:
    """Return the JSON object of a good answer. Raises: ValueError."""
    if not 200 <= answer.status < 300:
        raise ValueError(f"answered {answer.status}: {answer.content[:200]!r}")
    content: dict[str, Any] = json.loads(answer.content)
    return content
