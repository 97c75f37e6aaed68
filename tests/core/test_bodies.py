"""Fetching certified vertices: from several peers at once, bounded in bytes, in order."""

from cretonode.core.effects import Effect, Reason, Refuse
from cretonode.core.events import PeerConnected, PeerSilent
from cretonode.core.messages import SlotHeaders
from cretonode.core.suppliers import Suppliers
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import (
    FETCH_BYTES_MAX,
    FETCH_HASHES_MAX,
    FETCH_REQUESTS_ALL,
    FETCH_REQUESTS_MAX,
    FETCH_WINDOW_BYTES_MAX,
    SIGNATURE_BYTES,
)
from tests.core.catching_up import (
    BODIES,
    CHAIN,
    PATIENCE_MS,
    Network,
    behind,
    fetches,
    finals,
    headers,
    refusals,
    requests,
)
from tests.core.replicas import (
    ROOT,
    TIMING,
    anchor,
    committed,
    make_replica,
    of,
    pre_prepare,
)
from tests.core.test_retransmission import status_of


def test_vertices_are_fetched_from_several_peers_at_once() -> None:
    """SPEC C9: without trusting any single peer, and from several in parallel."""
    tested, _ = behind(0, 2, 3)
    asked = fetches(tested.hear(headers(1, 64), sender=0))
    assert len({peer for peer, _ in asked}) == 2, "128 vertices: two requests of 64"
    hashes = [h for _, part in asked for h in part]
    assert hashes == [m.vertex.hash for slot in CHAIN[:64] for m in slot]
    assert all(len(part) <= FETCH_HASHES_MAX for _, part in asked)


def test_vertices_in_any_order_end_in_the_same_finality() -> None:
    tested, effects = behind(0)
    tested.hear(headers(1, 64), sender=0)
    backwards = [message for slot in reversed(CHAIN[:64]) for message in reversed(slot)]
    assert finals(tested.hear(*backwards, sender=0)) == list(range(1, 65))
    assert not of(tested.everything, Refuse)
    assert effects


def test_a_stalling_peer_does_not_hold_up_the_vertices_of_others() -> None:
    tested, effects = behind(0, 2, 3)
    network = Network(tested, silent={2})
    effects = network.play(effects)
    while not finals(effects) or finals(effects)[-1] < 100:
        more = network.play(tested.wait(PATIENCE_MS))
        assert more, "one honest peer is enough"
        effects += more
    assert (2, Reason.TOO_SLOW) in refusals(effects)
    assert tested.now_ms - tested.replica.views.entered_ms <= 3 * PATIENCE_MS


def test_a_trickling_peer_has_little_more_time_than_a_silent_one() -> None:
    """What trickles in counts, and hardly prolongs anything."""
    tested, _ = behind(0, 2)
    (first, asked), *_ = fetches(tested.hear(headers(1, 64), sender=0))
    began_ms = tested.now_ms
    effects: list[Effect] = []
    came: list[VertexHash] = []
    while (first, Reason.TOO_SLOW) not in refusals(effects):
        came.append(asked[len(came)])
        effects = tested.wait(PATIENCE_MS // 4)
        effects += tested.hear(BODIES[came[-1]], sender=first)
    assert tested.now_ms - began_ms <= 3 * PATIENCE_MS
    assert set(came[:-1]).isdisjoint(h for _, part in fetches(effects) for h in part)


def test_what_a_lost_peer_owes_is_asked_of_another_at_once_and_is_no_fault() -> None:
    tested, _ = behind(0, 2, 3)
    (first, asked), *_ = fetches(tested.hear(headers(1, 64), sender=0))
    effects = tested.step(PeerSilent(ValidatorIndex(first)))
    again = [h for peer, part in fetches(effects) for h in part if peer != first]
    assert set(asked) <= set(again)
    assert not of(effects, Refuse)


def test_a_vertex_that_got_lost_on_the_way_is_asked_for_again() -> None:
    tested, _ = behind(0, gap=20)
    tested.hear(headers(1, 20), sender=0)
    tested.hear(*[m for slot in CHAIN[:5] for m in slot], sender=0)
    tested.replica.catch_up.bodies._order.clear()  # as if handed on, and lost
    tested.replica.catch_up.bodies._by_hash.clear()
    tested.wait(PATIENCE_MS)
    assert requests(tested.wait(PATIENCE_MS)) + requests(tested.everything[-3:])
    assert finals(Network(tested).play(tested.hear(headers(6, 15), sender=0)))[-1:] == [20]


# --- bounds


def test_no_more_than_the_window_is_asked_for_or_held() -> None:
    """SPEC C5. Headers say how much will come."""
    size = 524_000
    count = 120
    big = [anchor(0, 1, ROOT, transactions=[b"x" * 262_000, b"y" * 262_000])]
    while len(big) < count:
        transactions = [b"%d" % len(big) + b"x" * 262_000, b"y" * 262_000]
        big.append(anchor(0, len(big) + 1, big[-1], transactions=transactions))
    tested = make_replica()
    for peer in (0, 2, 3):
        tested.step(PeerConnected(ValidatorIndex(peer)))
        tested.hear(status_of(final=count), sender=peer)
    tested.hear(committed(0, big[-1]))
    answer = SlotHeaders(
        first=SequenceNumber(1),
        certificate=committed(0, big[63]),
        checkpoint=None,
        headers=tuple(m.vertex for m in big[:64]),
        anchors=(),
    )
    effects = tested.hear(answer, sender=0)
    bodies = tested.replica.catch_up.bodies
    by_hash = {m.vertex.hash: m for m in big}
    while asked := fetches(effects):
        assert bodies.window_bytes <= FETCH_WINDOW_BYTES_MAX
        for _, hashes in asked:
            assert len(hashes) * size <= FETCH_BYTES_MAX + SIGNATURE_BYTES
        # All but the lowest come: nothing can be handed on.
        later = [by_hash[h] for _, hashes in asked for h in hashes if h != big[0].vertex.hash]
        effects = tested.hear(*later, sender=2)
    assert bodies.window_bytes > FETCH_WINDOW_BYTES_MAX - size - SIGNATURE_BYTES
    assert finals(tested.hear(big[0], sender=3)), "the lowest lets all that follow go"


def test_a_peer_has_no_more_than_its_requests_under_way() -> None:
    """Four in all, two at least; the small request for the next range does not wait for them."""
    for ahead, most in (((0,), 4), ((0, 2), 2), ((0, 2, 3), 2)):
        assert most == max(FETCH_REQUESTS_MAX, FETCH_REQUESTS_ALL // len(ahead))
        finals = {ValidatorIndex(peer): SequenceNumber(200) for peer in ahead}
        suppliers = Suppliers(behind()[0].replica.state, finals)
        asked: list[int] = []
        while (peer := suppliers.choose(SequenceNumber(1))) is not None:
            suppliers.asked(peer)
            asked.append(peer)
        assert sorted(asked) == sorted(ahead * most)
        assert suppliers.choose(SequenceNumber(1), spare=1) in ahead


def test_a_request_that_was_overtaken_is_made_again() -> None:
    """A peer answers in turn; past its bound it drops requests, and says nothing."""
    tested, _ = behind(0)
    (_, lost), (_, answered), *_ = fetches(tested.hear(headers(1, 64), sender=0))
    tested.hear(*(BODIES[h] for h in answered), sender=0)
    effects = tested.wait(TIMING.fetch_timeout_ms)
    again = [h for _, part in fetches(effects) for h in part]
    assert again[: len(lost)] == list(lost)
    assert finals(tested.hear(*(BODIES[h] for h in lost), sender=0))[-1] == 64


def test_what_is_certified_is_fetched_once() -> None:
    """The live end names it, too; nobody is asked a second time for that."""
    tested, _ = behind(0, gap=20)
    tested.hear(headers(1, 20), sender=0)
    tested.hear(pre_prepare(0, CHAIN[0][-1]), sender=0)
    assert not fetches(tested.wait(TIMING.fetch_delay_ms))
