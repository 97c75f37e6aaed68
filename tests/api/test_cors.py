"""What pages of other origins may do."""

from dataclasses import replace

import pytest

from cretonode.api.settings import ApiSettings
from tests.api.fakes import MemoryNode
from tests.api.serving import LOOPBACK, in_process

PAGE = "https://app.example"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}
ONE_ORIGIN = replace(LOOPBACK, cors_origins=(PAGE,))
OFF = replace(LOOPBACK, cors_enabled=False)


@pytest.mark.parametrize(
    ("settings", "allowed", "vary"),
    [(LOOPBACK, "*", None), (ONE_ORIGIN, PAGE, "Origin")],
    ids=["any origin", "one origin"],
)
async def test_a_preflight_is_answered_with_what_is_allowed(
    settings: ApiSettings, allowed: str, vary: str | None
) -> None:
    async with in_process(MemoryNode(), settings) as client:
        response = await client.options("/v1/transactions", headers=PREFLIGHT)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == allowed
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert "content-type" in response.headers["access-control-allow-headers"]
    assert response.headers.get("vary") == vary


@pytest.mark.parametrize("path", ["/v1/status", "/nowhere"], ids=["success", "problem"])
async def test_an_allowed_page_may_read_answers_and_problems(path: str) -> None:
    async with in_process(MemoryNode(), ONE_ORIGIN) as client:
        response = await client.get(path, headers={"origin": PAGE})
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "retry-after" in response.headers["access-control-expose-headers"]


async def test_a_page_may_read_why_the_gate_refused_it() -> None:
    async with in_process(MemoryNode(), LOOPBACK) as client:
        response = await client.post(
            "/v1/transactions", content=b"", headers={"origin": PAGE, "content-length": "99999999"}
        )
    assert response.status_code == 413
    assert response.headers["access-control-allow-origin"] == "*"


async def test_another_page_is_not_allowed_and_caches_know() -> None:
    async with in_process(MemoryNode(), ONE_ORIGIN) as client:
        response = await client.get("/v1/status", headers={"origin": "https://evil.example"})
        preflight = await client.options(
            "/v1/status", headers={**PREFLIGHT, "origin": "https://evil.example"}
        )
    for answer in (response, preflight):
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-methods" not in answer.headers
        assert answer.headers["vary"] == "Origin"


async def test_no_page_is_allowed_when_switched_off() -> None:
    async with in_process(MemoryNode(), OFF) as client:
        response = await client.options("/v1/status", headers=PREFLIGHT)
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert "vary" not in response.headers
