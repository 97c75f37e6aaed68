"""Checks evidence with the command that auditors use, in a process of its own.

The console holds no keys and checks no signatures: `cretonode evidence` does, against the genesis
document alone, so what the screen says is what an auditor will find. See docs/decisions/0021.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from console.contact import RequestFailed
from console.sockets import Place

PROGRAM: Final = (sys.executable, "-m", "cretonode.cli.main", "evidence")
CHECK_MS: Final = 30_000
RECORDED: Final = (
    "a recording holds what was said, not the signatures. Where the node runs:\n"
    "cretonode evidence export {id} --output evidence.json\n"
    "and anywhere, with the genesis document of the chain:\n"
    "cretonode evidence verify --genesis genesis.json evidence.json"
)
OUTPUT_BYTES_MAX: Final = 64 * 1024


async def check(place: Place, id_: str) -> tuple[bool, str]:
    """Return whether evidence that the node holds proves what it says, and that in words.

    Raises: RequestFailed, when it could not be checked.
    """
    if place.genesis is None:
        raise RequestFailed("no genesis document is known: start with --genesis FILE or --config")
    with tempfile.TemporaryDirectory(prefix="creto-console-") as directory:
        file = str(Path(directory) / "evidence.json")
        code, text = await _run("export", id_, "--socket", str(place.socket), "--output", file)
        if code != 0:
            raise RequestFailed(text)
        arguments = ("verify", "--genesis", str(place.genesis), "--json", file)
        code, text = await _run(*arguments)
    return _verdict(text, place.genesis)


def _verdict(text: str, genesis: Path) -> tuple[bool, str]:
    try:
        document = json.loads(text)
        valid, name = bool(document["valid"]), str(document["name"])
        if not valid:
            return False, f"NOT PROVEN: {document['reason']} (checked against {genesis})"
        what = document["contradiction"]
    except (ValueError, KeyError, TypeError):
        raise RequestFailed(text.strip() or "the check said nothing") from None
    return True, f"PROVEN: {name} signed both: {what} (checked against {genesis})"


async def _run(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what was printed: the output, or the complaint."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHECK_MS / 1000):
            output, complaint = await process.communicate()
    except TimeoutError:
        raise RequestFailed(f"the check took over {CHECK_MS // 1000} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = (output or complaint)[:OUTPUT_BYTES_MAX].decode("utf-8", "replace")
    return process.returncode or 0, text if process.returncode == 0 or output else text.strip()
