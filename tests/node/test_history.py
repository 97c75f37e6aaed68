"""Source of every claim: docs/operator-socket.md, section 8."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

import cretonode.node.history
from cretonode.errors import ClientError
from cretonode.node.history import NOTE_S, REFUSED_S, SEGMENTS_MAX, History
from cretonode.operator.protocol import Delta, encode_message
from cretonode.operator.protocol_deltas import Changes, delta_of
from cretonode.operator.protocol_recording import (
    PIECE_BYTES_MAX,
    RecordingReader,
    recording_frame,
    recording_head,
)
from tests.operator.examples import HELLO, LINE

MIB = 1024 * 1024
END = recording_frame(encode_message(Delta(at_ms=5_000, fresh=False, topics={}, ended=True)))


class Counting:
    """A watcher that tells the next number each second, in a line as long as wanted."""

    def __init__(self, kept: "Kept") -> None:
        self._kept = kept
        self._fresh = True

    async def delta(self) -> Delta | None:
        await trio.lowlevel.checkpoint()
        kept = self._kept
        fresh, self._fresh = self._fresh, False
        if kept.count >= kept.count_max:
            kept.done.set()
            return None
        kept.count += 1
        rows = (replace(LINE, number=kept.count, text="x" * 1000),) * kept.rows
        return delta_of(Changes(log=rows), at_ms=1000 * kept.count, fresh=fresh)


class Kept:
    """What is told to a history."""

    def __init__(self, count_max: int, rows: int = 1) -> None:
        self.count = 0
        self.count_max = count_max
        self.rows = rows
        self.done = trio.Event()

    def __call__(self, topics: frozenset[str], *, alive_ms: int) -> Counting:
        assert "vertices" not in topics
        assert alive_ms == 10_000
        return Counting(self)


async def keep(history: History, kept: Kept) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run, kept)
        await kept.done.wait()
        nursery.cancel_scope.cancel()


def history_in(path: Path, bytes_max: int = 8 * MIB) -> History:
    return History(directory=path / "history", bytes_max=bytes_max, hello=HELLO)


async def read(history: History, from_ms: int | None = None, pieces_max: int = 1000) -> list[Delta]:
    """Return what was told, as a client reads it, without the marks of an end."""
    return [delta for delta in await read_all(history, from_ms, pieces_max) if not delta.ended]


async def read_all(
    history: History, from_ms: int | None = None, pieces_max: int = 1000
) -> list[Delta]:
    """Return what a client reads: the head and the pieces are a recording."""
    reader = RecordingReader()
    reader.feed(recording_head(HELLO))
    piece = await history.piece(from_ms=from_ms, cursor=None)
    found: list[Delta] = []
    for _ in range(pieces_max):
        reader.feed(piece.frames)
        found += reader.deltas_untrusted()
        if piece.cursor is None:
            break
        piece = await history.piece(from_ms=None, cursor=piece.cursor)
    assert reader.end_untrusted() == 0
    return found


async def test_what_was_told_is_read_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path)
    begun = trio.current_time()
    await keep(history, Kept(20))
    assert trio.current_time() >= begun + 19 * NOTE_S
    assert [delta.at_ms for delta in await read(history)] == [1000 * i for i in range(1, 21)]
    assert [delta.fresh for delta in await read(history)] == [True] + 19 * [False]
    assert history.disk_bytes == sum(path.stat().st_size for path in paths(tmp_path))


async def test_the_end_of_each_run_is_marked_with_its_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path)
    kept = Kept(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run, kept)
        await kept.done.wait()
        while history._noted is None or history._noted[0] != 3000:  # noqa: ASYNC110
            await trio.sleep(0.1)  # a thread writes, and tells nobody
        await trio.sleep(6.5)  # in which nothing changed
        _, noted_s = history._noted
        ended_ms = 3000 + round((trio.current_time() - noted_s) * 1000)
        nursery.cancel_scope.cancel()
    await keep(history_in(tmp_path), Kept(2))
    again = history_in(tmp_path)
    await keep(again, Kept(0))  # nothing was noted in this run: nothing ends
    found = await read_all(again)
    assert [(delta.at_ms, delta.fresh) for delta in found if not delta.ended] == [
        (1000, True), (2000, False), (3000, False), (1000, True), (2000, False),
    ]  # fmt: skip
    assert [delta.ended for delta in found] == [False] * 3 + [True] + [False] * 2 + [True]
    assert found[3].at_ms == ended_ms
    assert ended_ms >= 9_500
    assert not found[3].fresh
    assert found[-1].at_ms >= 2000


async def test_no_mark_follows_what_the_disk_may_have_taken_in_half(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    history = history_in(tmp_path)
    kept = Kept(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run, kept)
        await kept.done.wait()
        monkeypatch.setattr(cretonode.node.history, "FREE_BYTES_MIN", 2**62)
        kept.count_max = 3
        while history._noted is not None:  # noqa: ASYNC110  a part that has nobody to tell
            await trio.sleep(NOTE_S)
        monkeypatch.setattr(cretonode.node.history, "FREE_BYTES_MIN", 0)
        nursery.cancel_scope.cancel()
    assert [delta.ended for delta in await read_all(history)] == [False, False]


def paths(path: Path) -> list[Path]:
    return sorted((path / "history").iterdir())


async def test_a_long_history_comes_in_pieces_of_whole_frames(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path, 32 * MIB)
    await keep(history, Kept(40, rows=50))
    piece = await history.piece(from_ms=None, cursor=None)
    assert PIECE_BYTES_MAX // 2 < len(piece.frames) <= PIECE_BYTES_MAX
    assert piece.cursor is not None
    assert len(await read(history)) == 40


async def test_a_frame_larger_than_a_piece_comes_whole(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path, 32 * MIB)
    await keep(history, Kept(3, rows=700))
    assert len((await history.piece(from_ms=None, cursor=None)).frames) > PIECE_BYTES_MAX
    assert len(await read(history)) == 3


async def test_the_oldest_goes_when_there_is_too_much(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path, MIB)
    await keep(history, Kept(100, rows=20))
    assert history.disk_bytes <= MIB
    assert 4 <= len(paths(tmp_path)) <= SEGMENTS_MAX
    told = await read(history)
    assert told[0].fresh
    assert told[0].at_ms > 1000
    assert told[-1].at_ms == 100_000
    numbers = [delta.at_ms for delta in told]
    assert numbers == list(range(numbers[0], 100_001, 1000))


async def test_reading_begins_with_everything_that_was_known_at_a_moment(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path, MIB)
    await keep(history, Kept(60, rows=5))
    begins = [delta.at_ms for delta in await read(history) if delta.fresh]
    assert len(begins) > 2
    for from_ms in (begins[1], begins[1] + 1, begins[2] - 1):
        first = (await read(history, from_ms))[0]
        assert first.fresh
        assert first.at_ms == begins[1]
    assert (await read(history, 0))[0].at_ms == begins[0]
    assert (await read(history, 10**12))[0].at_ms == begins[-1]


async def test_a_cursor_to_what_was_given_up_leads_to_the_oldest_kept(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path, MIB)
    kept = Kept(30, rows=20)
    await keep(history, kept)
    old = await history.piece(from_ms=None, cursor=1 << 32 | 77)
    kept.count_max, kept.done = 120, trio.Event()
    await keep(history, kept)
    assert (await history.piece(from_ms=None, cursor=1 << 32 | 77)).frames
    told = await read(history)
    assert told[0].fresh
    assert old.frames != (await history.piece(from_ms=None, cursor=None)).frames
    nonsense = await history.piece(from_ms=None, cursor=2**62)
    assert nonsense == await history.piece(from_ms=None, cursor=None)


async def test_a_restart_goes_on_in_a_file_of_its_own_past_a_torn_end(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    await keep(history_in(tmp_path), Kept(5))
    (path,) = paths(tmp_path)
    path.write_bytes(path.read_bytes()[: -len(END) - 7])
    (tmp_path / "history" / "notes.txt").write_text("not ours", encoding="utf-8")
    again = history_in(tmp_path)
    await keep(again, Kept(3))
    assert [(delta.at_ms, delta.fresh) for delta in await read(again)] == [
        (1000, True), (2000, False), (3000, False), (4000, False),
        (1000, True), (2000, False), (3000, False),
    ]  # fmt: skip
    assert (tmp_path / "history" / "notes.txt").exists()


async def test_damage_ends_one_file_and_not_the_history(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    await keep(history_in(tmp_path), Kept(5))
    (path,) = paths(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    again = history_in(tmp_path)
    await keep(again, Kept(3))
    told = [(delta.at_ms, delta.fresh) for delta in await read(again)]
    assert told[0] == (1000, True)
    assert told[-3:] == [(1000, True), (2000, False), (3000, False)]
    assert len(told) < 8
    path.write_bytes(b"something else")
    assert len(await read(again)) == 3


async def test_starts_that_end_soon_leave_a_bounded_number_of_files(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    for _ in range(SEGMENTS_MAX + 3):
        await keep(history_in(tmp_path), Kept(1))
    assert len(paths(tmp_path)) == SEGMENTS_MAX


async def test_a_disk_that_refuses_ends_the_recording_for_a_while_and_nothing_else(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path)
    (tmp_path / "history").write_text("a file where a directory should be", encoding="utf-8")
    kept = Kept(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.run, kept)
        await trio.sleep(REFUSED_S / 2)
        assert kept.count == 0
        (tmp_path / "history").unlink()
        await kept.done.wait()
        nursery.cancel_scope.cancel()
    assert len(await read(history)) == 3


async def test_a_disk_that_is_nearly_full_is_left_to_the_votes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,
) -> None:
    history = history_in(tmp_path)
    kept = Kept(2)
    monkeypatch.setattr(cretonode.node.history, "FREE_BYTES_MIN", 2**62)
    begun = trio.current_time()
    await keep(history, kept)  # told once, and once more when the disk is tried again
    assert trio.current_time() >= begun + REFUSED_S
    assert paths(tmp_path) == []
    monkeypatch.setattr(cretonode.node.history, "FREE_BYTES_MIN", 0)
    await keep(history, Kept(3))
    assert len(await read(history)) == 3


async def test_a_history_that_cannot_be_read_says_so(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    history = history_in(tmp_path)
    assert (await history.piece(from_ms=None, cursor=None)).frames == b""
    await keep(history, Kept(2))
    (path,) = paths(tmp_path)
    path.unlink()
    assert (await history.piece(from_ms=None, cursor=None)).frames == b""
    path.mkdir()
    with pytest.raises(ClientError, match="the history cannot be read"):
        await history.piece(from_ms=None, cursor=None)
