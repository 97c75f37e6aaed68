"""Recordings: written, read, stepped through; what is damaged is refused; memory stays bounded."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from console.model import Model
from console.player import Player
from console.recorder import Recorder
from console.replay import CHECKPOINTS_MAX, Event, Recording
from console.units import moment
from cretonode.operator.protocol import Delta, MalformedMessage, encode_message
from cretonode.operator.protocol_deltas import NOTHING, delta_of
from cretonode.operator.protocol_recording import recording_frame, recording_head
from tests.console import examples


@pytest.fixture
def story(tmp_path: Path) -> Path:
    return examples.write_recording(tmp_path / "story.creto")


def load(path: Path) -> Recording:
    recording = Recording(path)
    for _ in recording.load():
        pass
    return recording


def test_what_was_known_at_each_delta_is_known_again(story: Path) -> None:
    recording = load(story)
    model = Model()
    for i, delta in enumerate(examples.deltas()):
        model.apply(delta)
        assert recording.model_at(i).known == model.known, i
    recording.close()


def test_view_changes_bans_and_stalls_are_found(story: Path) -> None:
    recording = load(story)
    assert [(mark.at, mark.event) for mark in recording.marks] == [
        (examples.CHANGED, Event.VIEW_CHANGE),
        (examples.LIED, Event.BAN),
        (examples.STALLED, Event.STALL),
    ]
    player = Player(recording)
    assert player.jump(Event.BAN, back=False)
    assert player.position == examples.LIED
    assert not player.jump(Event.BAN, back=False)
    assert player.jump(Event.VIEW_CHANGE, back=True)
    assert player.position == examples.CHANGED
    recording.close()


def test_playing_follows_the_recordings_own_time(story: Path) -> None:
    recording = load(story)
    player = Player(recording)
    player.advance(999)
    assert player.position == 0
    player.advance(1)
    assert player.position == 1
    player.faster(4)
    assert player.speed == 16
    player.advance(500)
    assert player.position == 9
    player.skip(-5_000)
    assert player.position == 4
    player.skip(300)
    player.skip(300)
    assert player.position == 4
    player.skip(400)  # short moves add up, also where nothing was said for longer than one
    assert player.position == 5
    player.skip(-1_000)
    player.go(10**9)
    assert player.ended
    player.advance(100)
    assert not player.playing
    player.toggle()
    assert (player.position, player.playing) == (0, True)
    recording.close()


def test_a_long_recording_keeps_few_states_and_jumps_exactly(tmp_path: Path) -> None:
    """What changes is the status alone."""
    path, deltas = tmp_path / "long.creto", 12_000
    status = examples.status_at(1)
    with path.open("wb") as file:
        file.write(recording_head(examples.HELLO))
        for second in range(deltas):
            known = replace(NOTHING, status=(replace(status, queue=second),))
            delta = delta_of(known, at_ms=examples.at(second), fresh=second == 0)
            file.write(recording_frame(encode_message(delta)))
    recording = load(path)
    assert len(recording) == deltas
    assert len(recording._checkpoints) <= CHECKPOINTS_MAX + 1
    for wanted in (0, 1, 7_777, deltas - 1):
        found = recording.model_at(wanted).status
        assert found is not None
        assert found.queue == wanted
    recording.close()


@pytest.mark.parametrize("damage", ["cut in front", "another file"])
def test_a_recording_of_which_nothing_can_be_read_is_refused(story: Path, damage: str) -> None:
    data = bytearray(story.read_bytes())
    match damage:
        case "cut in front":
            del data[:5]
        case _:
            data[:] = b"{}" * 50
    story.write_bytes(data)
    recording = Recording(story)
    with pytest.raises(MalformedMessage):
        list(recording.load())
    recording.close()


def test_a_damaged_recording_is_read_up_to_the_damage(story: Path) -> None:
    data = bytearray(story.read_bytes())
    data[len(data) // 2] ^= 0x10
    story.write_bytes(data)
    recording = load(story)
    assert 0 < len(recording) < examples.SECONDS
    last = moment(examples.at(len(recording) - 1))
    assert f"byte {recording._ends[-1]} of story.creto after {last} UTC: " in recording.damage
    assert recording.model_at(len(recording) - 1).status is not None
    recording.close()


def test_a_torn_end_is_left_out(story: Path) -> None:
    story.write_bytes(story.read_bytes()[:-10])
    recording = load(story)
    assert len(recording) == examples.SECONDS - 1
    assert recording.torn_bytes > 0
    recording.close()


def test_a_recording_without_deltas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.creto"
    path.write_bytes(recording_head(examples.HELLO))
    recording = Recording(path)
    with pytest.raises(MalformedMessage, match="holds no delta"):
        list(recording.load())
    recording.close()


def test_a_recorder_never_overwrites_and_stops_at_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "kept.creto"
    first, *others = (encode_message(delta) for delta in examples.deltas(4))
    bytes_max = len(recording_head(examples.HELLO)) + len(recording_frame(first)) + 100
    recorder = Recorder(path, bytes_max=bytes_max)
    recorder.begin(examples.HELLO)
    recorder.write_delta(others[0], fresh=False)  # before anything fresh: left out
    recorder.write_delta(first, fresh=True)
    assert recorder.problem == ""
    recorder.write_delta(others[0], fresh=False)
    assert "has reached" in recorder.problem
    recorder.begin(examples.HELLO)
    assert "has reached" in recorder.problem
    recorder.close()
    recording = load(path)
    assert len(recording) == 1
    recording.close()
    with pytest.raises(FileExistsError):
        Recorder(path)


def test_a_recording_is_of_one_node_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "kept.creto"
    recorder = Recorder(path)
    encoded = [encode_message(delta) for delta in examples.deltas(4)]
    recorder.begin(examples.HELLO)
    recorder.write_delta(encoded[0], fresh=True)
    recorder.begin(replace(examples.HELLO, node_id=examples.IDS[3], name="node3"))
    assert "is of node0, node3 speaks; it goes on when node0 does" in recorder.problem
    recorder.write_delta(encoded[1], fresh=True)
    recorder.begin(examples.HELLO)
    assert recorder.problem == ""
    recorder.write_delta(encoded[2], fresh=False)  # not all that is known: left out
    recorder.write_delta(encoded[0], fresh=True)
    recorder.write_delta(encoded[3], fresh=False)
    recorder.close()
    recording = load(path)
    assert list(recording.times_ms) == [examples.at(second) for second in (0, 0, 3)]
    recording.close()


def test_a_full_disk_ends_a_recording_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = os.open
    monkeypatch.setattr(os, "open", lambda path, *_: opening(path, os.O_WRONLY))
    recorder = Recorder(Path("/dev/full"))
    recorder.begin(examples.HELLO)
    assert recorder.problem == "/dev/full ended at 0 B: No space left on device"
    recorder.close()


def written(path: Path, deltas: Iterable[Delta]) -> Recording:
    frames = [recording_frame(encode_message(delta)) for delta in deltas]
    path.write_bytes(recording_head(examples.HELLO) + b"".join(frames))
    return load(path)


def told(second: float, uptime_s: float | None = None) -> Delta:
    """What a node says that was started so long ago; one that goes on says what changed."""
    if uptime_s is None:
        return Delta(at_ms=examples.at(second), fresh=False, topics={})
    status = replace(examples.status_at(1), uptime_ms=round(1000 * uptime_s))
    known = replace(examples.changes_at(0), status=(status,))
    return delta_of(known, at_ms=examples.at(second), fresh=True)


def ended(second: float) -> Delta:
    return replace(told(second), ended=True)


SAID = "2026-11-23 00:00:"


@pytest.mark.parametrize(
    ("deltas", "words"),
    [
        ((told(0, 99), told(10), told(24)), None),
        ((told(0, 99), told(10), told(10.5, 109.5)), None),
        ((told(0, 99), told(9.9), ended(10), told(40, 15)),
         f"not running from {SAID}10 to 00:00:25 UTC: it was stopped"),
        ((told(0, 99), told(10), told(14, 1)),
         f"not running from {SAID}10 to 00:00:13 UTC: no stop was noted"),
        ((told(0, 99), told(10), told(40)),
         f"nothing was recorded from {SAID}10 to 00:00:40 UTC"),
        ((told(0, 99), told(10), told(15, 114)),
         f"nothing was recorded from {SAID}10 to 00:00:15 UTC"),
        ((told(0, 99), told(10), told(86_410, 1)),
         f"not running from {SAID}10 to 2026-11-24 00:00:09 UTC: no stop was noted"),
        ((told(0, 99), ended(10)), f"stopped at {SAID}10 UTC, and the recording ends"),
    ],
    ids=[
        "idle", "a new file of a history", "stopped", "killed", "not recorded", "not attached",
        "past midnight", "the end",
    ],
)  # fmt: skip
def test_a_gap_says_what_is_known_of_it(
    tmp_path: Path, deltas: tuple[Delta, ...], words: str | None
) -> None:
    """docs/operator-socket.md, section 8."""
    recording = written(tmp_path / "gap.creto", deltas)
    assert [gap.words() for gap in recording.gaps] == ([] if words is None else [words])
    recording.close()


def test_a_player_goes_through_a_gap_and_can_jump_into_it(tmp_path: Path) -> None:
    deltas = (told(0, 99), told(5), told(100, 20), told(101), ended(102), told(140, 3), told(141))
    recording = written(tmp_path / "gaps.creto", deltas)
    player = Player(recording)
    player.skip(5_000)
    assert player.gap is None
    player.skip(10_000)
    assert player.position == 1
    assert player.gap is not None
    player.skip(85_000)
    assert (player.position, player.gap) == (2, None)
    assert player.jump(Event.STALL, back=True)
    assert (player.position, player.at_ms) == (1, examples.at(5) + 1)
    assert not player.jump(Event.STALL, back=True)
    assert player.jump(Event.STALL, back=False)
    assert player.position == 4
    assert player.gap is not None
    assert "it was stopped" in player.gap.words()
    assert not player.jump(Event.STALL, back=False)
    recording.close()


def test_what_was_before_a_gap_is_not_drawn_as_if_it_had_gone_on(tmp_path: Path) -> None:
    recording = written(tmp_path / "gap.creto", (told(0, 99), told(5), told(100, 20), told(101)))
    player = Player(recording)
    player.go(1)
    assert len(player.model.histories.waiting) == 6
    player.go(3)
    assert len(player.model.histories.waiting) == 2
    recording.close()


def test_the_first_delta_has_a_time_of_day(story: Path) -> None:
    recording = load(story)
    assert recording.model_at(0).deltas == 1
    assert recording.model_at(30).deltas == 31
    recording.close()
