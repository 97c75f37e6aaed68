"""The store: what a turn wrote is found by every question of SPEC S2."""

from pathlib import Path

import pytest

from cretonode.core.effects import Finalize, Stable
from cretonode.core.effects import Store as StoreVertex
from cretonode.core.messages import VertexMessage
from cretonode.core.records import Promises
from cretonode.crypto.hashing import hash_of
from cretonode.errors import CorruptionError, StorageError
from cretonode.identifiers import (
    ChainId,
    Digest,
    Height,
    NodeId,
    SequenceNumber,
    VertexHash,
)
from cretonode.storage.identity import Identity
from cretonode.storage.journal import JournalMarker
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.schema import Family, StateKey
from cretonode.storage.store import StorageEffect, Store, open_store
from cretonode.storage.turn import superfluous
from tests.storage.chain import GENESIS, IDENTITY, PARAMETERS, ChainMaker, bare
from tests.storage.conftest import OpenStore
from tests.storage.small import small_options

UNKNOWN = VertexHash(hash_of(b"unknown"))


def filled(store: Store, slots: int = 20) -> ChainMaker:
    maker = ChainMaker()
    for turn in maker.slots(slots):
        store.apply(turn)
    return maker


def sequences(first: int, last: int) -> list[SequenceNumber]:
    return [SequenceNumber(s) for s in range(first, last + 1)]


# --- vertices


def test_vertices_come_back_as_they_were_stored(store: Store) -> None:
    maker = filled(store)
    for name, message in maker.messages.items():
        stored = store.get_vertex(name)
        assert stored is not None
        assert (stored.vertex, stored.signature) == (message.vertex, message.signature)
        assert store.get_payload(name) == message.payload
        assert store.get_message(name) == bare(message)
        assert store.get_checked(name) == message


def test_an_unknown_vertex_is_absent(store: Store) -> None:
    filled(store, 2)
    assert store.get_vertex(UNKNOWN) is None
    assert store.get_payload(UNKNOWN) is None
    assert store.get_message(UNKNOWN) is None
    assert store.get_finality(UNKNOWN) is None
    with pytest.raises(CorruptionError, match="or its payload is missing"):
        store.get_checked(UNKNOWN)


def test_a_stored_vertex_is_never_altered(store: Store) -> None:
    """SPEC S8. Signatures are randomized, so a vertex may come again with another one."""
    maker = filled(store, 3)
    waiting = maker.plain(1)
    store.store_vertices([waiting])
    for message in (waiting, *maker.messages.values()):
        again = VertexMessage(
            vertex=message.vertex,
            payload=message.payload,
            transaction_ids=message.transaction_ids,
            signature=bytes(4691),
        )
        store.store_vertices([again, again])
        assert store.get_message(message.vertex.hash) == bare(message)
    assert set(store.unfinal()) == set(maker.graph.admitted), "final ones stay final"


def test_vertices_are_found_by_height(store: Store) -> None:
    maker = filled(store)
    heights = {message.vertex.height for message in maker.messages.values()}
    for height in (*heights, Height(0), Height(max(heights) + 1)):
        expected = {n for n, m in maker.messages.items() if m.vertex.height == height}
        assert list(store.vertices_at_height(height)) == sorted(expected)


def test_vertices_are_found_between_times_both_included(store: Store) -> None:
    maker = filled(store)
    times = [message.vertex.timestamp_ms for message in maker.messages.values()]
    for first, last in [(times[3], times[9]), (0, times[0]), (times[-1], 2**62), (9, 8), (5, 6)]:
        expected = [
            name for name, m in maker.messages.items() if first <= m.vertex.timestamp_ms <= last
        ]
        assert list(store.vertices_between(first, last)) == expected


def test_tips_are_what_no_stored_vertex_names(store: Store) -> None:
    assert store.tips() == []
    maker = ChainMaker()
    for _ in range(12):
        store.apply(maker.slot())
        named = {p for m in maker.messages.values() for p in m.vertex.parents}
        assert store.tips() == sorted(set(maker.messages) - named)
    store.store_vertices([maker.plain(author) for author in (1, 2)])
    named = {p for m in maker.messages.values() for p in m.vertex.parents}
    assert store.tips() == sorted(set(maker.messages) - named)


def test_ancestors_and_descendants_follow_the_edges(store: Store) -> None:
    maker = filled(store)
    parents = {name: set(m.vertex.parents) - {GENESIS} for name, m in maker.messages.items()}
    above: dict[VertexHash, set[VertexHash]] = {}
    for name in parents:  # made parents first
        above[name] = parents[name].union(*(above[p] for p in parents[name]))
    for name in list(parents)[::7]:
        assert set(store.ancestors(name)) == above[name]
        assert set(store.descendants(name)) == {other for other in above if name in above[other]}
    assert list(store.descendants(UNKNOWN)) == list(store.ancestors(UNKNOWN)) == []


def test_walks_start_nearby_and_stop_at_their_bound(store: Store) -> None:
    maker = filled(store)
    newest = maker.chain.final.hash
    parents = maker.messages[newest].vertex.parents
    assert list(store.ancestors(newest, count_max=len(parents))) == list(parents)
    assert len(list(store.ancestors(newest, count_max=7))) == 7
    oldest = next(iter(maker.messages))
    assert len(list(store.descendants(oldest, count_max=7))) == 7


# --- finality


def test_slots_come_back_in_order_with_their_skips(store: Store) -> None:
    maker = filled(store)
    assert any(any(effect.skipped) for effect in maker.finalized), "the chain repeats itself"
    assert store.final_sequence() == 20
    for effect in maker.finalized:
        slot = store.get_finalized(effect.sequence)
        assert slot is not None
        assert slot.anchor == effect.anchor.hash
        assert slot.vertices == tuple(vertex.hash for vertex in effect.vertices)
        assert slot.skipped == effect.skipped
        for position, vertex in enumerate(effect.vertices):
            finality = store.get_finality(vertex.hash)
            assert finality is not None
            assert finality.vertex == maker.graph.final[vertex.hash]
            assert finality.position == position
    assert store.get_finalized(SequenceNumber(0)) is None
    assert store.get_finalized(SequenceNumber(21)) is None


@pytest.mark.parametrize(
    ("first", "last"), [(1, 20), (5, 9), (20, 20), (-3, 2), (18, 40), (9, 8), (30, 40)]
)
def test_a_range_yields_what_is_final_in_it(store: Store, first: int, last: int) -> None:
    filled(store)
    found = store.finalized_range(SequenceNumber(first), SequenceNumber(last))
    assert [slot.sequence for slot in found] == sequences(max(first, 1), min(last, 20))


def test_a_range_with_a_hole_is_corruption_not_a_shorter_range(store: Store) -> None:
    filled(store)
    for lost in (7, 20):
        batch = store.backend.batch()
        batch.delete(Family.FINALIZED, lost.to_bytes(8, "big"))
        store.backend.write(batch)
        with pytest.raises(CorruptionError, match=f"sequence {lost} is missing"):
            list(store.finalized_range(SequenceNumber(lost - 2), SequenceNumber(lost + 2)))


def test_a_lookup_tells_final_ones_from_all_others(store: Store) -> None:
    maker = filled(store)
    waiting = maker.plain(2)
    store.store_vertices([waiting])
    wanted = [*list(maker.messages)[3:6], UNKNOWN, waiting.vertex.hash]
    final, absent = store.lookup(wanted)
    assert final == tuple(maker.graph.final[name] for name in wanted[:3])
    assert absent == (UNKNOWN, waiting.vertex.hash)
    assert store.lookup([]) == ((), ())


def test_a_whole_chain_in_one_turn_is_the_same_as_in_many(opened: OpenStore) -> None:
    """Catching up finalizes many sequences in a turn."""
    one, many = opened("one"), opened("many")
    turns = ChainMaker().slots(20)
    for turn in turns:
        many.apply(turn)
    one.apply([effect for turn in turns for effect in turn])
    for family in Family:
        assert list(one.backend.scan(family)) == list(many.backend.scan(family)), family


def test_a_turn_that_cannot_be_written_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = filled(store, 3)
    turn = maker.slot()

    def fail(_: object) -> None:
        raise StorageError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store.backend, "write", fail)
        with pytest.raises(StorageError, match="disk full"):
            store.apply(turn)
    assert store.final_sequence() == 3
    store.apply(turn)
    assert store.final_sequence() == 4


def test_the_two_halves_of_a_turn_can_be_written_apart(store: Store) -> None:
    turn = ChainMaker().slot()
    store.store_vertices([e.message for e in turn if isinstance(e, StoreVertex)])
    assert store.final_sequence() == 0
    store.apply_finalized([e for e in turn if isinstance(e, Finalize)])
    assert store.final_sequence() == 1


# --- certificates


@pytest.mark.parametrize(
    ("certificates", "stable", "dropped"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], 8, [2, 3, 5, 6, 7]),
        ([1, 2, 3, 4, 5, 6, 7, 8], 4, [2, 3]),
        ([2, 3, 9, 11, 12], 12, [3, 11]),
        ([2, 3], 8, []),
        ([5, 6, 7], 8, [6]),
        ([], 8, []),
        ([8], 8, []),
    ],
    ids=["all", "up to the checkpoint", "gaps", "newest stays", "no later one", "none", "at it"],
)
def test_the_first_certificate_of_each_interval_and_the_newest_stay(
    certificates: list[int], stable: int, dropped: list[int]
) -> None:
    found = superfluous([SequenceNumber(s) for s in certificates], SequenceNumber(stable), 4)
    assert found == dropped


def test_certificates_are_thinned_behind_stable_checkpoints(opened: OpenStore) -> None:
    store = opened()
    maker = ChainMaker(certificate_chance=1.0)
    for turn in maker.slots(22):
        store.apply(turn)
    kept = [c.sequence for c in store.certificates(SequenceNumber(0), SequenceNumber(99))]
    assert kept == [1, 4, 8, 12, 16, 20, 21, 22]
    for sequence in kept:
        effect = maker.finalized[sequence - 1]
        assert store.get_certificate(sequence) == effect.certificate
    assert store.get_certificate(SequenceNumber(2)) is None
    assert store.highest_certificate() == maker.finalized[-1].certificate
    store.close()
    # What a restart has to go on with is remembered.
    store = opened()
    store.restore(maker.graph.genesis, Promises())
    for turn in maker.slots(4):
        store.apply(turn)
    kept = [c.sequence for c in store.certificates(SequenceNumber(0), SequenceNumber(99))]
    assert kept == [1, 4, 8, 12, 16, 20, 24, 25, 26]


def test_every_stable_checkpoint_is_kept_for_proofs(store: Store) -> None:
    assert store.newest_checkpoint() is None
    maker = ChainMaker()
    stable = [e for turn in maker.slots(12) for e in _applied(store, turn) if isinstance(e, Stable)]
    assert [effect.certificate.sequence for effect in stable] == [4, 8, 12]
    assert store.get_checkpoint(SequenceNumber(5)) == stable[1].certificate
    assert store.get_checkpoint(SequenceNumber(8)) == stable[1].certificate
    assert store.get_checkpoint(SequenceNumber(13)) is None
    assert store.newest_checkpoint() == stable[-1].certificate


def _applied(store: Store, turn: list[StorageEffect]) -> list[StorageEffect]:
    store.apply(turn)
    return turn


# --- other things


def test_the_journal_marker_is_kept(opened: OpenStore) -> None:
    store = opened()
    assert store.journal_marker() is None
    marker = JournalMarker(17, Digest(UNKNOWN))
    store.apply([], journal=marker)
    assert store.journal_marker() == marker
    later = JournalMarker(18, Digest(UNKNOWN))
    store.put_journal_marker(later)
    store.close()
    assert opened().journal_marker() == later


def test_evidence_and_peers_are_kept(store: Store) -> None:
    store.put_evidence(b"b", b"2")
    store.put_evidence(b"a", b"1")
    store.put_peer(b"p", b"address")
    store.put_peer(b"q", b"address")
    store.delete_peer(b"p")
    assert list(store.evidence()) == [(b"a", b"1"), (b"b", b"2")]
    assert list(store.peers()) == [(b"q", b"address")]


@pytest.mark.parametrize(
    ("identity", "sentence"),
    [
        (Identity(ChainId("main"), GENESIS, IDENTITY.node_id), "belongs to chain 'test'"),
        (Identity(IDENTITY.chain_id, UNKNOWN, IDENTITY.node_id), "was made from genesis"),
        (Identity(IDENTITY.chain_id, GENESIS, NodeId(UNKNOWN)), "belongs to node"),
    ],
    ids=["another chain", "another genesis", "another node"],
)
def test_another_nodes_database_is_refused(
    opened: OpenStore, tmp_path: Path, identity: Identity, sentence: str
) -> None:
    opened().close()
    backend = RocksBackend(tmp_path / "db", small_options())
    with pytest.raises(StorageError, match=sentence):
        open_store(backend, identity, PARAMETERS)
    backend.close()


def test_another_schema_is_refused(opened: OpenStore) -> None:
    store = opened()
    batch = store.backend.batch()
    batch.put(Family.STATE, StateKey.SCHEMA.encode(), (9).to_bytes(8, "big"))
    store.backend.write(batch)
    store.close()
    with pytest.raises(StorageError, match="schema version 9; this software uses 1"):
        opened()


def test_a_database_that_does_not_say_whose_it_is_is_not_taken_for_new(opened: OpenStore) -> None:
    store = opened()
    filled(store, 2)
    batch = store.backend.batch()
    batch.delete(Family.STATE, StateKey.NODE_ID.encode())
    store.backend.write(batch)
    store.close()
    with pytest.raises(CorruptionError, match="does not say whose it is"):
        opened()


def test_a_new_store_is_empty(tmp_path: Path) -> None:
    store = open_store(RocksBackend(tmp_path, small_options()), IDENTITY, PARAMETERS)
    assert store.final_sequence() == 0
    assert store.highest_certificate() is None
    assert store.merkle_log().size == 0
    assert list(store.unfinal()) == []
    store.close()


def test_closing_twice_is_a_bug_in_nobody(store: Store) -> None:
    assert not store.is_closed
    store.close()
    assert store.is_closed
