"""What is served to a peer that catches up finalizes there. DESIGN section 2, Catch-up."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cretonode.core.messages import SlotHeaders
from cretonode.core.ranges import verified_range
from cretonode.dag.graph import Graph, genesis_vertex
from cretonode.errors import CorruptionError
from cretonode.identifiers import SequenceNumber
from cretonode.storage import serving
from cretonode.storage.rocksdb import RocksBackend
from cretonode.storage.schema import Family
from cretonode.storage.store import Store, open_store
from tests.storage.chain import GENESIS, IDENTITY, PARAMETERS, ChainMaker, bare
from tests.storage.small import small_options


def served(store: Store, first: int, count: int) -> SlotHeaders:
    return store.serve_headers(SequenceNumber(first), count)


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
    store = open_store(RocksBackend(path, small_options()), IDENTITY, PARAMETERS)
    yield store, filled(store)
    store.close()


@pytest.mark.parametrize(
    ("first", "count", "last", "certified"),
    [
        (1, 30, 30, 30),
        (1, 64, 30, 30),
        (1, 1, 1, 1),
        (2, 2, 3, 4),
        (5, 1, 5, 8),
        (5, 7, 11, 12),
        (29, 64, 30, 30),
        (30, 1, 30, 30),
    ],
    ids=[
        "all", "more than there is", "one", "below the next that is kept", "one, and none near",
        "a little less", "the end", "the last",
    ],
)  # fmt: skip
def test_a_range_is_proven_by_the_next_certificate(
    shared: tuple[Store, ChainMaker], first: int, count: int, last: int, certified: int
) -> None:
    store, maker = shared
    answer = served(store, first, count)
    slots = maker.finalized
    assert answer.headers == tuple(v for s in slots[first - 1 : last] for v in s.vertices)
    assert answer.anchors == tuple(s.anchor for s in slots[last:certified])
    assert answer.certificate == slots[certified - 1].certificate
    found = verified_range(answer)
    assert found is not None
    assert (found.first, found.last) == (first, last)


@pytest.mark.parametrize(("first", "count"), [(31, 5), (0, 5), (1, 0), (-4, 3)])
def test_what_is_not_final_is_not_served(
    shared: tuple[Store, ChainMaker], first: int, count: int
) -> None:
    assert served(shared[0], first, count).certificate is None


def test_an_empty_store_serves_nothing(store: Store) -> None:
    assert served(store, 1, 64).certificate is None


def test_without_a_certificate_above_fewer_sequences_are_served(store: Store) -> None:
    maker = filled(store)
    batch = store.backend.batch()
    for lost in range(9, 31):
        batch.delete(Family.CERTIFICATES, lost.to_bytes(8, "big"))
    store.backend.write(batch)
    answer = served(store, 5, 20)
    assert answer.certificate == maker.finalized[7].certificate
    assert answer.headers == tuple(v for s in maker.finalized[4:8] for v in s.vertices)
    assert not answer.anchors
    assert served(store, 9, 6).certificate is None


def test_a_range_brings_its_newest_stable_checkpoint(shared: tuple[Store, ChainMaker]) -> None:
    store, _ = shared
    checkpoint = served(store, 2, 9).checkpoint
    assert checkpoint is not None
    assert checkpoint.sequence == 8
    assert served(store, 2, 2).checkpoint is None


def test_what_does_not_fit_one_answer_is_left_to_the_next(
    shared: tuple[Store, ChainMaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SPEC C5: an answer is a message, and a message is bounded."""
    store, maker = shared
    monkeypatch.setattr(serving, "HEADERS_MAX", 12)
    answer = served(store, 1, 30)
    assert answer.headers
    assert len(answer.headers) + len(answer.anchors) <= 12
    found = verified_range(answer)
    assert found is not None
    following = served(store, found.last + 1, 30)
    assert verified_range(following) is not None
    assert maker.finalized[found.last].vertices[0] == following.headers[0]


def test_what_is_served_can_be_admitted_in_its_order(shared: tuple[Store, ChainMaker]) -> None:
    store, _ = shared
    graph = Graph(genesis_vertex(GENESIS))
    first = 1
    while first <= 30:
        found = verified_range(served(store, first, 5))
        assert found is not None
        for vertex in found.vertices:
            assert graph.add(vertex, wanted=True).admitted == (vertex,)
        first = found.last + 1


def test_single_vertices_are_served_when_they_are_here(store: Store) -> None:
    maker = filled(store, 3)
    wanted = [*list(maker.messages)[:3], GENESIS]
    assert list(store.serve_vertices(wanted)) == [bare(maker.messages[n]) for n in wanted[:3]]


def test_a_missing_vertex_is_corruption_not_a_shorter_answer(store: Store) -> None:
    maker = filled(store)
    batch = store.backend.batch()
    lost = maker.finalized[2].vertices[0].hash
    batch.delete(Family.VERTICES, lost)
    store.backend.write(batch)
    with pytest.raises(CorruptionError, match=f"vertex {lost.hex()} is final and missing"):
        served(store, 1, 5)
