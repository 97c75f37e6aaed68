"""Every example in docs/api.md is run, in order, against one node."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import httpx
import trio

from cretonode.api.problems import PROBLEMS
from cretonode.api.settings import ApiSettings
from tests.api.fakes import MemoryNode
from tests.api.serving import serving, url_of

TEXT = (Path(__file__).parent.parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
DOCUMENTED_URL = "http://127.0.0.1:8080"


async def test_every_example_answers_as_documented() -> None:
    assert len(BLOCKS) > 10
    async with serving(MemoryNode(eager=True)) as address, httpx.AsyncClient() as client:
        for kind, block in BLOCKS:
            text = block.replace(DOCUMENTED_URL, url_of(address))
            if kind == "console":
                for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                    await check_command(client, command)
            else:
                await trio.to_thread.run_sync(check_script, text)


async def check_command(client: httpx.AsyncClient, text: str) -> None:
    """Do what a curl command line does and compare with what is printed below it."""
    line, _, printed = text.partition("\n")
    request, shows_head = parse_curl(line)
    response = await client.send(request)
    if shows_head:
        head, _, printed = printed.partition("\n\n")
        status, *headers = head.split("\n")
        assert status == f"HTTP/1.1 {response.status_code}", line
        for header in headers:
            name, _, value = header.partition(": ")
            assert response.headers[name] == value, line
    else:
        assert response.is_success, line
    if "json" in response.headers["content-type"]:
        assert matches(json.loads(printed), response.json()), (line, response.text)
    else:
        assert printed.strip() == response.text


def parse_curl(line: str) -> tuple[httpx.Request, bool]:
    program, *words = shlex.split(line)
    assert program == "curl"
    headers, content, shows_head, url = {}, None, False, ""
    arguments = iter(words)
    for word in arguments:
        match word:
            case "-i":
                shows_head = True
            case "-H":
                name, _, value = next(arguments).partition(": ")
                headers[name] = value
            case "--data" | "--data-binary":
                content = next(arguments).encode()
            case _:
                assert not word.startswith("-"), f"the test does not know curl {word}"
                url = word
    return httpx.Request("POST" if content else "GET", url, headers=headers, content=content), (
        shows_head
    )


def matches(documented: object, real: object) -> bool:
    """Compare; a documented string may end in "...", and "..." stands for anything."""
    if isinstance(documented, str) and documented.endswith("..."):
        return documented == "..." or str(real).startswith(documented[:-3])
    if isinstance(documented, list) and isinstance(real, list):
        return len(documented) == len(real) and all(map(matches, documented, real))
    if isinstance(documented, dict) and isinstance(real, dict):
        return documented.keys() == real.keys() and all(
            matches(documented[name], real[name]) for name in documented
        )
    return documented == real


def check_script(text: str) -> None:
    """Run a script; the comments after its prints list what they print."""
    comments = re.findall(r"print\(.*\)  # (.*)", text)
    expected = [line for comment in comments for line in comment.split("; ")]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(text, "docs/api.md", "exec"), {"__name__": "example"})
    assert output.getvalue().splitlines() == expected


def test_every_problem_is_in_the_table() -> None:
    rows = re.findall(r"^\| (\d+) \| `([a-z-]+)` \|", TEXT, re.MULTILINE)
    assert {(int(status), name) for status, name in rows} == {
        (status, name) for name, (status, _) in PROBLEMS.items()
    }


def test_every_limit_is_the_default() -> None:
    settings = ApiSettings()
    for text in (
        f"`api.request_bytes_max`, {settings.request_bytes_max // 2**20} MiB, and",
        f"and {settings.body_ms_max // 1000} s to arrive",
        f"`api.wait_ms_max`, {settings.wait_ms_max:,} ms",
        f"{settings.requests_max}, of which {settings.waits_max} may wait",
        f"{settings.connections_max:,}; more wait",
        f"closed after {settings.keep_alive_ms // 1000} s",
        f"cut off after {settings.write_ms_max // 1000} s",
        f"within {settings.stop_ms_max / 1000}\nseconds",
        f"{settings.bodies_bytes_max // 2**20} MiB",
    ):
        assert text in TEXT, text
