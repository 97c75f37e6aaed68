"""Recordings: written, read, stepped through; what is damaged is refused; memory stays bounded."""

from dataclasses import replace
from pathlib import Path

import pytest

from console.model import Model
from console.player import Player
from console.recorder import Recorder
from console.replay import CHECKPOINTS_MAX, Event, Recording
from cretonode.operator.protocol import MalformedMessage, encode_message
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


@pytest.mark.parametrize("damage", ["flipped", "cut in front", "another file"])
def test_a_damaged_recording_is_refused(story: Path, damage: str) -> None:
    data = bytearray(story.read_bytes())
    match damage:
        case "flipped":
            data[len(data) // 2] ^= 0x10
        case "cut in front":
            del data[:5]
        case _:
            data[:] = b"{}" * 50
    story.write_bytes(data)
    recording = Recording(story)
    with pytest.raises(MalformedMessage):
        list(recording.load())
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
    assert recorder.stopped == ""
    recorder.write_delta(others[0], fresh=False)
    assert "has reached" in recorder.stopped
    recorder.close()
    recording = load(path)
    assert len(recording) == 1
    recording.close()
    with pytest.raises(FileExistsError):
        Recorder(path)


def test_a_recording_is_of_one_node(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "kept.creto")
    recorder.begin(examples.HELLO)
    recorder.begin(replace(examples.HELLO, node_id=examples.IDS[3]))
    assert "another node" in recorder.stopped
    recorder.close()
