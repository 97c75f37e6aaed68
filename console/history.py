"""Fetches the history that a node keeps of itself, as a recording to replay."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Final

from console.recorder import BYTES_MAX, MODE, write_whole
from console.session import Refused, Session
from cretonode.operator.protocol import (
    HISTORY,
    Hello,
    MalformedMessage,
    Response,
    Value,
)
from cretonode.operator.protocol_recording import history_untrusted, recording_head

RECEIVE_BYTES: Final = 256 * 1024
ANSWER_MS: Final = 15_000  # longer than the node takes to give up on its own answer


class NoHistory(Exception):
    """The history could not be fetched; the text says why."""


async def fetch(socket: Path, file: Path, from_ms: int | None, software: str) -> int:
    """Write the node's history since `from_ms`, or all of it, into a new file; return its bytes.

    Raises: NoHistory; then no file is left.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    except OSError as error:
        raise NoHistory(f"{file}: {error.strerror}") from None
    try:
        with FileIO(descriptor, "wb") as out:
            return await _write(out, socket, from_ms, software)
    except _NotWritten as error:
        _remove(file)
        raise NoHistory(f"{file}: {error}") from None
    except (OSError, EOFError, MalformedMessage, Refused, TimeoutError, NoHistory) as error:
        _remove(file)
        words = getattr(error, "strerror", None) or str(error) or "the node says nothing"
        raise NoHistory(f"{socket}: {words}") from None
    except BaseException:  # interrupted: half a history would be in the way of the next try
        _remove(file)
        raise


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)


class _NotWritten(Exception):
    """The file does not take it, whatever the node says."""


async def _write(out: FileIO, socket: Path, from_ms: int | None, software: str) -> int:
    """Return the bytes written. Raises: as `_pieces`, and _NotWritten."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    written = 0
    try:
        async for piece in _pieces(reader, writer, from_ms, software):
            if written + len(piece) > BYTES_MAX:
                raise _NotWritten(f"the history is over {BYTES_MAX >> 20} MiB: ask for --hours")
            try:
                write_whole(out, piece)
            except OSError as error:
                raise _NotWritten(error.strerror or error) from None
            written += len(piece)
    finally:
        writer.close()
    return written


async def _pieces(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    from_ms: int | None,
    software: str,
) -> AsyncIterator[bytes]:
    """Yield the recording piece by piece. Raises: NoHistory and as the session."""
    session = Session(software, interval_ms=0)
    writer.write(session.opening())
    hello = await _answer(session, reader)
    assert isinstance(hello, Hello)
    yield recording_head(hello)
    arguments: Mapping[str, Value] = {} if from_ms is None else {"from_ms": from_ms}
    kept = False
    while True:
        writer.write(session.request(HISTORY, arguments)[1])
        response = await _answer(session, reader)
        assert isinstance(response, Response)
        if not response.ok:
            raise NoHistory(response.error)
        piece = history_untrusted(response.value)
        kept = kept or bool(piece.frames)
        yield piece.frames
        if piece.cursor is None or not piece.frames:
            break
        arguments = {"cursor": piece.cursor}
    if not kept:
        raise NoHistory("the node keeps no history")


async def _answer(session: Session, reader: asyncio.StreamReader) -> Hello | Response:
    async with asyncio.timeout(ANSWER_MS / 1000):
        while True:
            data = await reader.read(RECEIVE_BYTES)
            if not data:
                raise EOFError("the node closed the connection")
            for heard in session.feed_untrusted(data):
                if isinstance(heard.message, Hello | Response):
                    return heard.message
