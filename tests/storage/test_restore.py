"""A restart takes up where the replica was: SPEC C8, and core.state.Restored."""

import shutil
from pathlib import Path

import pytest

from cretonode.core.committee import Committee, Parameters
from cretonode.core.dedup import Dedup
from cretonode.core.effects import Halt
from cretonode.core.records import Promises
from cretonode.core.replica import Replica
from cretonode.core.state import Restored, Timing
from cretonode.crypto.hashing import hash_of
from cretonode.errors import CorruptionError
from cretonode.identifiers import ChainId, Incarnation, SequenceNumber, ValidatorIndex
from cretonode.storage.schema import Family
from cretonode.storage.store import Store
from tests.storage.chain import GENESIS, PARAMETERS, ChainMaker
from tests.storage.conftest import OpenStore
from tests.storage.test_transactions import check_transactions

COMMITTEE = Committee(
    chain_id=ChainId("test"),
    size=4,
    genesis=GENESIS,
    validator_set=hash_of(b"validators"),
    parameters=PARAMETERS,
    incarnations=(Incarnation(0),) * 4,
)


def restored_dedup(restored: Restored) -> Dedup:
    dedup = Dedup(PARAMETERS.dedup_window)
    for sequence, ids in restored.executed:
        dedup.begin(sequence)
        assert dedup.execute(ids) == 0
    return dedup


def check_restored(restored: Restored, maker: ChainMaker) -> None:
    """Everything that a replica takes up is as it was in the replica that stopped."""
    final = maker.chain.final
    assert restored.final == final
    assert restored.log == maker.log
    assert restored_dedup(restored) == maker.dedup
    window = {
        name: vertex
        for name, vertex in maker.graph.final.items()
        if vertex.finalized_by > final.sequence - PARAMETERS.window and name != GENESIS
    }
    recent = {vertex.hash: vertex for vertex in restored.recent}
    assert len(recent) == len(restored.recent)
    assert window.items() <= recent.items() <= maker.graph.final.items()
    assert set(maker.graph.newest_final.values()) <= set(restored.recent)
    assert {m.vertex.hash: m for m in restored.pending} == {
        name: maker.messages[name] for name in maker.graph.admitted
    }
    certified = [e.certificate for e in maker.finalized if e.certificate is not None]
    assert restored.certificate == (certified[-1] if certified else None)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("slots", [0, 1, 8, 30])
def test_a_restart_gives_back_the_state_before_it(opened: OpenStore, slots: int, seed: int) -> None:
    store = opened()
    maker = ChainMaker(seed=seed, repeat_chance=0.3)
    promises = Promises()
    for turn in maker.slots(slots):
        store.apply(turn)
    store.store_vertices([maker.plain(author) for author in (1, 1, 3)])
    store.close()
    store = opened()
    restored = store.restore(maker.graph.genesis, promises)
    assert restored.promises is promises
    check_restored(restored, maker)
    check_transactions(store, maker)
    # And it goes on, in the same way, to the same end.
    for turn in maker.slots(9):
        store.apply(turn)
    store.index_transactions()
    check_transactions(store, maker)
    store.close()
    check_restored(opened().restore(maker.graph.genesis, promises), maker)


@pytest.mark.parametrize("indexed_at", [0, 5, 25, 30])
def test_slots_that_were_not_indexed_are_found_after_a_restart(
    opened: OpenStore, indexed_at: int
) -> None:
    store = opened()
    maker = ChainMaker()
    for number, turn in enumerate(maker.slots(30), start=1):
        store.apply(turn)
        if number == indexed_at:
            store.index_transactions()
    store.close()
    store = opened()
    store.restore(maker.graph.genesis, Promises())
    assert store.index.unindexed == 30 - indexed_at
    check_transactions(store, maker)
    store.index_transactions()
    assert store.indexed_sequence() == 30
    check_transactions(store, maker)


def test_an_author_silent_for_longer_than_the_window_is_still_known(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker()
    last = maker.plain(3)
    store.store_vertices([last])
    while last.vertex.hash in maker.graph.admitted:
        store.apply(maker.slot())
    for _ in range(3 * PARAMETERS.window):
        store.apply(maker.lonely_slot())
    store.close()
    restored = opened().restore(maker.graph.genesis, Promises())
    newest = maker.graph.newest_final[ValidatorIndex(3)]
    assert newest.finalized_by < restored.final.sequence - PARAMETERS.window
    assert newest in restored.recent


def test_an_equivocators_lower_index_does_not_become_its_newest(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker()
    for turn in maker.slots(30):
        store.apply(turn)
    newest = maker.graph.newest_final[ValidatorIndex(3)]
    del maker.newest[3]  # it starts again at index 1
    for turn in maker.slots(2 * PARAMETERS.window):
        store.apply(turn)
    assert maker.graph.newest_final[ValidatorIndex(3)] == newest
    assert any(v.author == 3 for effect in maker.finalized[-5:] for v in effect.vertices)
    store.close()
    check_restored(opened().restore(maker.graph.genesis, Promises()), maker)


def test_what_waited_for_longer_than_the_window_can_be_admitted_at_once(opened: OpenStore) -> None:
    """Its parents are final and older than the window, and yet known."""
    store = opened()
    maker = ChainMaker()
    store.apply(maker.slot())
    waiting = maker.plain(2)
    store.store_vertices([waiting])
    for _ in range(3 * PARAMETERS.window):
        store.apply(maker.lonely_slot())
    store.close()
    restored = opened().restore(maker.graph.genesis, Promises())
    replica = Replica(COMMITTEE, ValidatorIndex(0), Timing(), restored)
    replica.start(now_ms=maker.clock_ms + 1)
    assert waiting.vertex.hash in replica.state.graph.admitted


@pytest.mark.parametrize("seed", range(3))
def test_a_replica_takes_up_what_was_restored(opened: OpenStore, seed: int) -> None:
    store = opened()
    maker = ChainMaker(seed=seed)
    for turn in maker.slots(20):
        store.apply(turn)
    store.store_vertices([maker.plain(2), maker.plain(2)])
    store.close()
    restored = opened().restore(maker.graph.genesis, Promises())
    replica = Replica(COMMITTEE, ValidatorIndex(2), Timing(), restored)
    effects = replica.start(now_ms=maker.clock_ms + 1)
    assert not [effect for effect in effects if isinstance(effect, Halt)]
    state = replica.state
    assert state.graph.admitted == maker.graph.admitted
    assert state.graph.newest_final == maker.graph.newest_final
    assert state.chain.final == maker.chain.final
    assert (state.dedup, state.log) == (maker.dedup, maker.log)


def test_the_first_turn_waits_for_the_restore(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker()
    store.apply(maker.slot())
    store.close()
    store = opened()
    with pytest.raises(AssertionError, match="restore before the first turn"):
        store.apply(maker.slot())


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (Family.VERTICES, "or its payload is missing"),
        (Family.PAYLOADS, "or its payload is missing"),
        (Family.METADATA, "is final, and not recorded"),
        (Family.FINALIZED, "sequence 20 is missing"),
    ],
)
def test_a_missing_row_stops_the_restore_by_name(
    opened: OpenStore, family: Family, message: str
) -> None:
    store = opened()
    maker = ChainMaker()
    for turn in maker.slots(20):
        store.apply(turn)
    lost = maker.chain.final.hash if family is not Family.FINALIZED else (20).to_bytes(8, "big")
    batch = store.backend.batch()
    batch.delete(family, lost)
    store.backend.write(batch)
    with pytest.raises(CorruptionError, match=message):
        store.restore(maker.graph.genesis, Promises())


def test_a_wrong_payload_stops_the_restore_by_name(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker()
    for turn in maker.slots(3):
        store.apply(turn)
    batch = store.backend.batch()
    name = maker.chain.final.hash
    batch.put(Family.PAYLOADS, name, maker.messages[name].payload[:-1] + b"?")
    store.backend.write(batch)
    with pytest.raises(CorruptionError, match=f"vertex {name.hex()}: payload does not hash"):
        store.restore(maker.graph.genesis, Promises())


def test_any_crash_leaves_a_prefix_of_the_turns(opened: OpenStore, tmp_path: Path) -> None:
    """A copy of an open database is what a killed process leaves: its log, unflushed."""
    store = opened()
    maker = ChainMaker()
    for number, turn in enumerate(maker.slots(12)):
        store.apply(turn)
        if number == 5:
            store.index_transactions()
    shutil.copytree(tmp_path / "db", tmp_path / "copy")
    crashed = opened("copy")
    check_restored(crashed.restore(maker.graph.genesis, Promises()), maker)
    check_transactions(crashed, maker)


def test_a_log_cut_anywhere_restores_to_the_state_after_some_turn(
    opened: OpenStore, tmp_path: Path
) -> None:
    """A power cut takes the end of the log, wherever it was."""
    store = opened()
    maker = ChainMaker(transactions=2, signature_bytes=64)
    for number, turn in enumerate(maker.slots(10)):
        store.apply(turn)
        if number == 5:
            store.index_transactions()
    seen = set()
    for part in range(12):
        name = f"copy {part}"
        shutil.copytree(tmp_path / "db", tmp_path / name)
        log = max((tmp_path / name).glob("*.log"), key=lambda p: p.stat().st_size)
        with log.open("r+b") as file:
            file.truncate(log.stat().st_size * part // 11)
        crashed = opened(name)
        restored = crashed.restore(maker.graph.genesis, Promises())
        sequence = crashed.final_sequence()
        seen.add(sequence)
        past = ChainMaker(transactions=2, signature_bytes=64)
        past.slots(sequence)
        check_restored(restored, past)
        for turn in past.slots(2):
            crashed.apply(turn)
        check_transactions(crashed, past)
        crashed.close()
    assert len(seen) > 5


def test_a_larger_dedup_window_reads_further_back(opened: OpenStore) -> None:
    parameters = Parameters(window=8, checkpoint_interval=4, dedup_window=16)
    store: Store = opened(parameters=parameters)
    maker = ChainMaker(parameters=parameters)
    for turn in maker.slots(20):
        store.apply(turn)
    store.index_transactions()
    store.close()
    restored = opened(parameters=parameters).restore(maker.graph.genesis, Promises())
    assert [sequence for sequence, _ in restored.executed] == [
        SequenceNumber(s) for s in range(5, 21)
    ]
