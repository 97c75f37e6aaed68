"""`verify_database` is silent about a good database and names what is wrong with a bad one."""

from pathlib import Path

import pytest

from cretonode.core.messages import CheckpointCertificate, CommitCertificate, VertexMessage
from cretonode.storage.schema import (
    Family,
    StateKey,
    encode_finality,
    encode_number,
    encode_place,
    encode_slot,
    encode_vertex,
    index_key,
)
from cretonode.storage.store import Store
from cretonode.storage.verify import PROBLEMS_MAX, Problem, ProblemKind, verify_database
from tests.storage.chain import GENESIS, PARAMETERS, ChainMaker
from tests.storage.conftest import OpenStore


@pytest.fixture
def maker() -> ChainMaker:
    return ChainMaker(seed=5, repeat_chance=0.3)


@pytest.fixture
def store(opened: OpenStore, maker: ChainMaker) -> Store:
    """Twenty sequences, a dozen of them indexed, and vertices that wait."""
    store = opened()
    for number, turn in enumerate(maker.slots(20), start=1):
        store.apply(turn)
        if number == 12:
            store.index_transactions()
    store.store_vertices([maker.plain(1), maker.plain(2)])
    return store


def verify(store: Store) -> list[Problem]:
    return list(verify_database(store, genesis=GENESIS, parameters=PARAMETERS))


def kinds(store: Store) -> set[ProblemKind]:
    return {problem.kind for problem in verify(store)}


def put(store: Store, family: Family, key: bytes, value: bytes | None) -> None:
    batch = store.backend.batch()
    if value is None:
        batch.delete(family, key)
    else:
        batch.put(family, key, value)
    store.backend.write(batch)


def test_a_good_database_has_no_problems(store: Store, maker: ChainMaker) -> None:
    assert verify(store) == []
    store.index_transactions()
    assert verify(store) == []


def test_an_empty_database_has_no_problems(opened: OpenStore) -> None:
    assert verify(opened("empty")) == []


def test_rows_of_an_index_run_that_was_cut_short_are_no_problem(
    store: Store, maker: ChainMaker
) -> None:
    effect = next(e for e in maker.finalized[13:] if not e.skipped[0])
    place = encode_place(effect.sequence, 0, 0)
    put(store, Family.TRANSACTIONS, effect.transaction_ids[0][:32], place)
    assert verify(store) == []


def test_every_lost_row_is_noticed(store: Store) -> None:
    """Whatever row disappears, something else names it."""
    free = {Family.CERTIFICATES, Family.CHECKPOINTS, Family.STATE}
    checked = 0
    for family in set(Family) - free:
        for key, value in list(store.backend.scan(family))[::15]:
            put(store, family, key, None)
            assert verify(store), f"{family} {key.hex()}"
            put(store, family, key, value)
            checked += 1
    assert checked > 40
    assert verify(store) == []


def test_a_flipped_byte_in_any_row_is_noticed(store: Store) -> None:
    """But for signatures, which need the callback, and evidence and peers, which are opaque."""
    for family in set(Family) - {Family.STATE, Family.EVIDENCE, Family.PEERS}:
        for key, value in list(store.backend.scan(family))[::17]:
            if not value:
                continue
            at = {Family.VERTICES: 7, Family.CERTIFICATES: 20, Family.CHECKPOINTS: 20}.get(
                family, len(value) // 2
            )
            put(store, family, key, value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])
            assert verify(store), f"{family} {key.hex()}"
            put(store, family, key, value)


def test_a_vertex_under_another_hash_is_damaged(store: Store, maker: ChainMaker) -> None:
    one, other = list(maker.messages.values())[:2]
    value = encode_vertex(other.vertex, other.signature)
    put(store, Family.VERTICES, one.vertex.hash, value)
    problems = verify(store)
    where = f"vertices {one.vertex.hash.hex()}"
    assert any(p.kind is ProblemKind.DAMAGED and p.where == where for p in problems)
    assert any("it hashes to" in str(problem) for problem in problems)


def test_index_rows_that_lead_nowhere_are_named(store: Store, maker: ChainMaker) -> None:
    name = maker.chain.final.hash
    put(store, Family.INDEX_HEIGHT, index_key(99, name), b"")
    put(store, Family.INDEX_TIMESTAMP, index_key(99, name), b"")
    assert kinds(store) == {ProblemKind.INDEX}


def test_a_transaction_row_that_leads_nowhere_is_named(store: Store) -> None:
    put(store, Family.TRANSACTIONS, bytes(32), encode_place(3, 0, 0))
    assert [problem.kind for problem in verify(store)] == [ProblemKind.INDEX]


def test_an_edge_nobody_made_is_named(store: Store, maker: ChainMaker) -> None:
    one, other = list(maker.messages)[:2]
    put(store, Family.EDGES, other + one, bytes(12))
    assert kinds(store) == {ProblemKind.EDGE}


def test_slots_in_another_order_are_named(store: Store, maker: ChainMaker) -> None:
    effect = next(e for e in maker.finalized if len(e.vertices) > 2)
    hashes = [vertex.hash for vertex in effect.vertices]
    hashes[0], hashes[1] = hashes[1], hashes[0]
    put(
        store,
        Family.FINALIZED,
        encode_number(effect.sequence),
        encode_slot(hashes, effect.skipped, effect.log.root()),
    )
    assert {ProblemKind.ORDER, ProblemKind.EXECUTION} <= kinds(store)


def test_a_slot_that_lacks_a_vertex_is_named(store: Store, maker: ChainMaker) -> None:
    effect = next(e for e in maker.finalized if len(e.vertices) > 2)
    hashes = [vertex.hash for vertex in effect.vertices][1:]
    key = encode_number(effect.sequence)
    put(store, Family.FINALIZED, key, encode_slot(hashes, effect.skipped[1:], effect.log.root()))
    assert any("it lacks" in str(problem) for problem in verify(store))


def test_other_skips_than_execution_gives_are_named(store: Store, maker: ChainMaker) -> None:
    effect = maker.finalized[4]
    hashes = [vertex.hash for vertex in effect.vertices]
    skipped = [effect.skipped[0] ^ 1, *effect.skipped[1:]]
    put(
        store,
        Family.FINALIZED,
        encode_number(effect.sequence),
        encode_slot(hashes, skipped, effect.log.root()),
    )
    assert ProblemKind.EXECUTION in kinds(store)


def test_a_final_vertex_that_claims_another_place_is_named(store: Store, maker: ChainMaker) -> None:
    final = maker.chain.final
    put(store, Family.METADATA, final.hash, encode_finality(final, 9))
    assert kinds(store) == {ProblemKind.ORDER}


def test_a_vertex_both_final_and_waiting_is_named(store: Store, maker: ChainMaker) -> None:
    put(store, Family.UNFINAL, maker.chain.final.hash, b"")
    assert kinds(store) == {ProblemKind.ORDER}


def test_another_final_sequence_or_merkle_log_is_named(store: Store) -> None:
    put(store, Family.STATE, StateKey.FINAL.encode(), encode_number(19))
    assert ProblemKind.ORDER in kinds(store)
    put(store, Family.STATE, StateKey.FINAL.encode(), encode_number(20))
    put(store, Family.STATE, StateKey.LOG.encode(), encode_number(0))
    assert kinds(store) == {ProblemKind.EXECUTION}


def test_signatures_are_checked_by_the_callback(store: Store, maker: ChainMaker) -> None:
    asked: list[VertexMessage | CommitCertificate | CheckpointCertificate] = []
    forged = maker.chain.final.hash

    def is_signed(signed: VertexMessage | CommitCertificate | CheckpointCertificate) -> bool:
        asked.append(signed)
        return not (isinstance(signed, VertexMessage) and signed.vertex.hash == forged)

    problems = list(
        verify_database(store, genesis=GENESIS, parameters=PARAMETERS, is_signed=is_signed)
    )
    assert [problem.kind for problem in problems] == [ProblemKind.SIGNATURE]
    assert str(problems[0]) == f"signature: vertices {forged.hex()}: its signature does not verify"
    assert {type(signed) for signed in asked} == {
        VertexMessage,
        CommitCertificate,
        CheckpointCertificate,
    }
    assert len([s for s in asked if isinstance(s, VertexMessage)]) == len(maker.messages)


def test_progress_is_told_for_every_family(store: Store) -> None:
    told: list[tuple[Family, int]] = []

    def progress(family: Family, rows: int) -> None:
        told.append((family, rows))

    list(verify_database(store, genesis=GENESIS, parameters=PARAMETERS, progress=progress))
    assert {family for family, _ in told} == set(Family)
    assert dict(told)[Family.FINALIZED] == 20


def test_an_unreadable_block_is_named_and_the_walk_goes_on(
    opened: OpenStore, tmp_path: Path, store: Store
) -> None:
    store.backend.compact()
    store.close()
    file = max((tmp_path / "db").glob("*.sst"), key=lambda p: p.stat().st_size)
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)
    store = opened()
    found = verify(store)
    assert any(p.kind is ProblemKind.UNREADABLE and file.name in p.what for p in found)


def test_problems_without_end_are_cut_off(store: Store, maker: ChainMaker) -> None:
    for number in range(PROBLEMS_MAX + 50):
        put(store, Family.UNFINAL, b"%032d" % number, b"")
    assert len(verify(store)) == PROBLEMS_MAX
