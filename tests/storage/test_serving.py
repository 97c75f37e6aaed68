"""What is served to a peer that catches up finalizes there. DESIGN section 2, Catch-up."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cretonode.core.messages import CommitCertificate, VertexMessage
from cretonode.dag.graph import Graph, genesis_vertex
from cretonode.errors import CorruptionError
from cretonode.identifiers import SequenceNumber
from cretonode.storage.backend import small_profile
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.schema import Family
from cretonode.storage.store import Store, open_store
from tests.storage.chain import GENESIS, IDENTITY, PARAMETERS, ChainMaker, bare


def served(store: Store, first: int, count: int) -> list[VertexMessage | CommitCertificate]:
    return list(store.serve_slots(SequenceNumber(first), count))


def filled(store: Store, slots: int = 30) -> ChainMaker:
    maker = ChainMaker(certificate_chance=1.0, signature_bytes=64)
    for turn in maker.slots(slots):
        store.apply(turn)
    return maker


@pytest.fixture(scope="module")
def shared(
    template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, ChainMaker]]:
    """Thirty sequences that these tests only read.

    Kept with an interval of 4 and stable up to 28: certificates of 1, 4, 8 ... 28, 29, 30.
    """
    path = tmp_path_factory.mktemp("serving") / "db"
    shutil.copytree(template, path)
    store = open_store(RocksBackend(path, small_profile()), IDENTITY, PARAMETERS)
    yield store, filled(store)
    store.close()


@pytest.mark.parametrize(
    ("first", "count", "last"),
    [
        (1, 30, 30),
        (1, 64, 30),
        (1, 1, 1),
        (2, 2, 4),
        (2, 3, 4),
        (5, 1, 8),
        (5, 7, 12),
        (9, 3, 12),
        (29, 64, 30),
        (30, 1, 30),
    ],
    ids=[
        "all", "more than there is", "one", "up to the next that is kept", "just enough",
        "one, and none near", "a little more", "beyond the count", "the end", "the last",
    ],
)  # fmt: skip
def test_a_range_ends_with_a_certificate_of_its_last_sequence(
    shared: tuple[Store, ChainMaker], first: int, count: int, last: int
) -> None:
    store, maker = shared
    *vertices, certificate = served(store, first, count)
    expected = [
        bare(maker.messages[vertex.hash])
        for effect in maker.finalized[first - 1 : last]
        for vertex in effect.vertices
    ]
    assert vertices == expected
    assert certificate == maker.finalized[last - 1].certificate


@pytest.mark.parametrize(("first", "count"), [(31, 5), (0, 5), (1, 0), (-4, 3)])
def test_what_is_not_final_is_not_served(
    shared: tuple[Store, ChainMaker], first: int, count: int
) -> None:
    assert served(shared[0], first, count) == []


def test_an_empty_store_serves_nothing(store: Store) -> None:
    assert served(store, 1, 64) == []


def test_a_next_certificate_too_far_away_means_fewer_sequences(store: Store) -> None:
    maker = filled(store)
    batch = store.backend.batch()
    for lost in range(9, 28):
        batch.delete(Family.CERTIFICATES, lost.to_bytes(8, "big"))
    store.backend.write(batch)
    assert served(store, 5, 6)[-1] == maker.finalized[7].certificate
    assert served(store, 9, 6)[-1] == maker.finalized[27].certificate, "none inside"
    assert served(store, 5, 14)[-1] == maker.finalized[27].certificate, "near enough"


def test_what_is_served_can_be_admitted_in_its_order(shared: tuple[Store, ChainMaker]) -> None:
    store, _ = shared
    graph = Graph(genesis_vertex(GENESIS))
    first = 1
    while first <= 30:
        *vertices, certificate = served(store, first, 5)
        for message in vertices:
            assert isinstance(message, VertexMessage)
            assert graph.add(message.vertex, wanted=True).admitted == (message.vertex,)
        assert isinstance(certificate, CommitCertificate)
        assert certificate.anchor in graph.admitted
        first = certificate.sequence + 1


def test_single_vertices_are_served_when_they_are_here(store: Store) -> None:
    maker = filled(store, 3)
    wanted = [*list(maker.messages)[:3], GENESIS]
    assert list(store.serve_vertices(wanted)) == [bare(maker.messages[n]) for n in wanted[:3]]


def test_a_missing_payload_is_corruption_not_a_shorter_answer(store: Store) -> None:
    maker = filled(store)
    batch = store.backend.batch()
    lost = maker.finalized[2].vertices[0].hash
    batch.delete(Family.PAYLOADS, lost)
    store.backend.write(batch)
    with pytest.raises(CorruptionError, match=f"vertex {lost.hex()} of sequence 3"):
        served(store, 1, 5)
