"""Catching up: nothing a peer says is believed, and one that fails costs one timeout.

The replica is validator 1 of 4, far behind; 0, 2 and 3 say how far they are.
"""

from dataclasses import dataclass, field, replace

from cretonode.core.effects import (
    Effect,
    Finalize,
    Halt,
    Lookup,
    Reason,
    Refuse,
    Say,
    Send,
    Serve,
    Stable,
)
from cretonode.core.events import PeerConnected, PeerSilent
from cretonode.core.messages import FetchSlots, FetchVertices, SlotHeaders, VertexMessage
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import (
    BEHIND_SEQUENCES,
    FETCH_BYTES_MAX,
    FETCH_HASHES_MAX,
    FETCH_REQUESTS_MAX,
    FETCH_SLOTS_MAX,
    FETCH_WINDOW_BYTES_MAX,
    HEADERS_AHEAD_MAX,
    SIGNATURE_BYTES,
)
from tests.core.replicas import (
    ROOT,
    TIMING,
    Driven,
    anchor,
    anchors,
    batch_of,
    committed,
    make_replica,
    named,
    of,
    plain,
    sent,
    stable,
)
from tests.core.test_retransmission import status_of

PATIENCE_MS = 4 * TIMING.fetch_timeout_ms


def chain_of(count: int) -> list[list[VertexMessage]]:
    """Return what each sequence orders: a plain vertex of another author, then the anchor."""
    found: list[list[VertexMessage]] = []
    previous, own = ROOT, ROOT
    for index in range(1, count + 1):
        vertex = plain(2, index, *([own] if own is not ROOT else []), previous)
        top = anchor(0, index, previous, vertex, transactions=[b"t%d" % index])
        found.append([vertex, top])
        previous, own = top, vertex
    return found


CHAIN = chain_of(200)
BODIES = {message.vertex.hash: message for slot in CHAIN for message in slot}


def headers(first: int, count: int, *, extra: int = 0) -> SlotHeaders:
    """Return an honest answer: `extra` anchors above, then the certificate."""
    last = first + count - 1
    return SlotHeaders(
        first=SequenceNumber(first),
        certificate=committed(0, CHAIN[last + extra - 1][-1]),
        checkpoint=None,
        headers=tuple(m.vertex for slot in CHAIN[first - 1 : last] for m in slot),
        anchors=tuple(slot[-1].vertex for slot in CHAIN[last : last + extra]),
    )


def behind(*ahead: int, gap: int = 100) -> tuple[Driven, list[Effect]]:
    """Return a replica that has just seen a certificate for sequence `gap`."""
    tested = make_replica()
    for peer in (0, 2, 3):
        tested.step(PeerConnected(ValidatorIndex(peer)))
        tested.hear(status_of(final=gap if peer in ahead else 0), sender=peer)
    return tested, tested.hear(committed(0, CHAIN[gap - 1][-1]))


def requests(effects: list[Effect]) -> list[tuple[int, int, int]]:
    """Return who was asked, from which sequence, for how many."""
    return [
        (e.peer, e.message.first, e.message.count)
        for e in of(effects, Send)
        if isinstance(e.message, FetchSlots)
    ]


def fetches(effects: list[Effect]) -> list[tuple[int, tuple[VertexHash, ...]]]:
    """Return who was asked for which vertices."""
    return [
        (e.peer, e.message.hashes)
        for e in of(effects, Send)
        if isinstance(e.message, FetchVertices)
    ]


def finals(effects: list[Effect]) -> list[int]:
    return [effect.sequence for effect in of(effects, Finalize)]


@dataclass
class Network:
    """Peers that answer `tested` at once, each in its own way."""

    tested: Driven
    silent: set[int] = field(default_factory=set)
    asked: list[tuple[int, str]] = field(default_factory=list)

    def play(self, effects: list[Effect]) -> list[Effect]:
        """Answer until nothing more is asked; return all effects."""
        found = list(effects)
        waiting = list(effects)
        while waiting:
            effect = waiting.pop(0)
            more: list[Effect] = []
            if isinstance(effect, Lookup):
                more = self.tested.step(self.tested.looked_up(effect))
            elif isinstance(effect, Send):
                more = self._answer(effect)
            elif isinstance(effect, Say):
                more = self.tested.come_back([effect])
            found += more
            waiting += more
        return found

    def _answer(self, effect: Send) -> list[Effect]:
        message, peer = effect.message, effect.peer
        if isinstance(message, FetchSlots | FetchVertices):
            self.asked.append((peer, type(message).__name__))
        if peer in self.silent:
            return []
        match message:
            case FetchSlots(first=first, count=count):
                return self.tested.hear(headers(first, count), sender=peer)
            case FetchVertices(hashes=hashes):
                return self.tested.hear(*(BODIES[h] for h in hashes), sender=peer)
            case _:
                return []


# --- whom and what


def test_a_range_is_asked_of_a_peer_that_is_ahead() -> None:
    """SPEC C9."""
    _, effects = behind(2)
    assert requests(effects) == [(2, 1, FETCH_SLOTS_MAX)]


def test_a_small_gap_is_closed_by_hash() -> None:
    tested, effects = behind(2, gap=BEHIND_SEQUENCES - 1)
    assert not requests(effects)
    (fetch,) = sent(tested.wait(TIMING.fetch_delay_ms), FetchVertices)
    assert fetch.hashes == (named(CHAIN[BEHIND_SEQUENCES - 2][-1]),)


def test_nobody_is_asked_while_nobody_is_ahead() -> None:
    tested, effects = behind()
    assert not requests(effects)
    assert requests(tested.hear(status_of(final=100), sender=3)) == [(3, 1, FETCH_SLOTS_MAX)]


def test_without_a_certificate_no_peer_is_believed() -> None:
    """DESIGN 2, Catch-up: believe only certificates."""
    tested = make_replica()
    tested.step(PeerConnected(ValidatorIndex(2)))
    assert not requests(tested.hear(status_of(final=10_000), sender=2))
    assert not tested.replica.state.behind


def test_a_range_ends_where_the_known_certificates_end() -> None:
    _, effects = behind(0, gap=20)
    assert requests(effects) == [(0, 1, 20)]


def test_vertices_are_fetched_from_several_peers_at_once() -> None:
    """SPEC C9: without trusting any single peer, and from several in parallel."""
    tested, _ = behind(0, 2, 3)
    asked = fetches(tested.hear(headers(1, 64), sender=0))
    assert len({peer for peer, _ in asked}) == 2, "128 vertices: two requests of 64"
    hashes = [h for _, part in asked for h in part]
    assert hashes == [m.vertex.hash for slot in CHAIN[:64] for m in slot]
    assert all(len(part) <= FETCH_HASHES_MAX for _, part in asked)


def test_the_next_headers_come_while_vertices_are_fetched() -> None:
    tested, _ = behind(0, 2, 3)
    (asked,) = requests(tested.hear(headers(1, 64), sender=0))
    assert asked[1:] == (65, 36)


def test_a_long_way_is_made_with_all_peers() -> None:
    tested, effects = behind(0, 2, 3, gap=200)
    network = Network(tested)
    assert finals(network.play(effects)) == list(range(1, 201))
    assert len({peer for peer, kind in network.asked if kind == "FetchVertices"}) > 1
    assert not tested.replica.state.behind
    assert not of(tested.everything, Refuse)


def test_each_sequence_is_final_as_soon_as_its_vertices_are_here() -> None:
    """An interruption then loses nothing, and no step is long."""
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    assert finals(tested.hear(*CHAIN[0], sender=0)) == [1]
    assert finals(tested.hear(*CHAIN[1], *CHAIN[2], sender=0)) == [2, 3]


def test_vertices_in_any_order_end_in_the_same_finality() -> None:
    tested, effects = behind(0)
    tested.hear(headers(1, 64), sender=0)
    backwards = [message for slot in reversed(CHAIN[:64]) for message in reversed(slot)]
    assert finals(tested.hear(*backwards, sender=0)) == list(range(1, 65))
    assert not of(tested.everything, Refuse)
    assert effects


def test_a_certificate_above_the_range_proves_it() -> None:
    """Certificates are sparse: anchors alone lead down from the next one."""
    tested, _ = behind(0)
    assert fetches(tested.hear(headers(1, 10, extra=30), sender=0))
    effects = tested.hear(*[m for slot in CHAIN[:10] for m in slot], sender=0)
    assert finals(effects) == list(range(1, 11))
    assert [f.certificate for f in of(effects, Finalize)] == [None] * 10


def test_the_certificate_of_a_range_is_kept_with_its_sequence() -> None:
    """Whoever has caught up can serve others. CatchUp.tla, Shown."""
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    effects = tested.hear(*[m for slot in CHAIN[:64] for m in slot], sender=0)
    assert of(effects, Finalize)[-1].certificate == committed(0, CHAIN[63][-1])


def test_a_checkpoint_in_a_range_becomes_stable_once_executed() -> None:
    """The journal rotates and memory is freed while a long way is made."""
    ahead = make_replica(3)
    ahead.hear(*[m for slot in CHAIN[:8] for m in slot], committed(0, CHAIN[7][-1]), sender=0)
    digest = ahead.replica.state.log.root()
    tested, _ = behind(0)
    tested.hear(replace(headers(1, 64), checkpoint=stable(8, digest)), sender=0)
    effects = tested.hear(*[m for slot in CHAIN[:20] for m in slot], sender=0)
    assert [e.certificate.sequence for e in of(effects, Stable)] == [8]
    assert tested.replica.state.low == 8


def test_an_interruption_goes_on_where_it_was() -> None:
    """SPEC C8, C9: what is stored and final is not fetched again."""
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    tested.hear(*[m for slot in CHAIN[:30] for m in slot], CHAIN[30][0], sender=0)
    again = tested.restart()
    again.step(PeerConnected(ValidatorIndex(0)))
    again.hear(status_of(final=100), sender=0)
    assert requests(again.hear(committed(0, CHAIN[99][-1]))) == [(0, 31, 64)]
    asked = fetches(Network(again).play(again.hear(headers(31, 64), sender=0)))
    assert named(CHAIN[30][0]) not in asked[0][1], "it was stored before the crash"
    assert asked[0][1][0] == named(CHAIN[30][1])


# --- who lies


def refusals(effects: list[Effect]) -> list[tuple[int, Reason]]:
    return [(e.peer, e.reason) for e in of(effects, Refuse)]


LIES = {
    "lowest vertex left out": lambda m: replace(m, headers=m.headers[1:]),
    "a vertex in the middle left out": lambda m: replace(
        m, headers=(*m.headers[:10], *m.headers[11:])
    ),
    "top left out": lambda m: replace(m, headers=m.headers[:-1]),
    "cut to nothing": lambda m: replace(m, headers=()),
    "a vertex that nothing names": lambda m: replace(
        m, headers=(plain(3, 1).vertex, *m.headers)
    ),
    "child before parent": lambda m: replace(m, headers=(*m.headers[2::-1], *m.headers[3:])),
    "another chain": lambda m: replace(
        m, headers=tuple(v.vertex for v in anchors(3, 64))
    ),
    "the range after it": lambda m: replace(headers(65, 64), first=m.first),
    "a certificate for something else": lambda m: replace(
        m, certificate=committed(0, CHAIN[150][-1])
    ),
    "a checkpoint from outside": lambda m: replace(
        m, checkpoint=stable(68, named(CHAIN[0][0]))
    ),
}  # fmt: skip


def test_a_lying_peer_costs_one_request_and_comes_last() -> None:
    """DESIGN 2, Catch-up: a lying peer costs one timeout and its score."""
    for name, lie in LIES.items():
        tested, effects = behind(0, 2)
        assert requests(effects) == [(0, 1, 64)], name
        effects = tested.hear(lie(headers(1, 64)), sender=0)
        effects += Network(tested, silent={0, 2, 3}).play(effects)
        assert (0, Reason.INVALID_RANGE) in refusals(effects), name
        assert (2, 1, 64) in requests(effects), name
        assert not fetches(effects), name
        network = Network(tested)
        assert finals(network.play(tested.hear(headers(1, 64), sender=2)))[-1] == 100, name
        assert all(peer != 0 for peer, _ in network.asked[:2]), name


def test_a_certified_range_on_another_chain_halts() -> None:
    """Two certificates that contradict each other mean more than f liars: DESIGN 2, Phases."""
    tested, _ = behind(0)
    Network(tested).play(tested.hear(headers(1, 64), sender=0))
    other = anchors(3, 120)
    tested, _ = behind(0)
    tested.hear(headers(1, 64), sender=0)
    tested.hear(*[m for slot in CHAIN[:64] for m in slot], sender=0)
    fork = SlotHeaders(
        first=SequenceNumber(65),
        certificate=committed(0, other[99]),
        checkpoint=None,
        headers=tuple(m.vertex for m in other[64:100]),
        anchors=(),
    )
    assert of(tested.hear(fork, sender=0), Halt)


def test_a_stalling_peer_costs_one_timeout_and_the_next_one_is_asked() -> None:
    """DESIGN 2, Catch-up."""
    tested, effects = behind(0, 2, 3)
    asked = [requests(effects)[0][0]]
    for _ in range(3):
        assert not requests(tested.wait(PATIENCE_MS - 1))
        effects = tested.wait(1)
        assert refusals(effects) == [(asked[-1], Reason.TOO_SLOW)]
        asked += [peer for peer, _, _ in requests(effects)]
    assert asked[:3] == [0, 2, 3]
    assert asked[3] in (0, 2, 3), "when all have failed, none is given up for good"


def test_a_peer_that_failed_is_left_alone_for_a_while() -> None:
    tested, effects = behind(0, 2, gap=200)
    network = Network(tested, silent={0})
    network.play(effects)
    network.play(tested.wait(PATIENCE_MS))
    assert tested.replica.state.final == 200
    assert len([peer for peer, _ in network.asked if peer == 0]) == 1


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


def test_when_all_are_slow_they_are_given_more_time_and_asked_for_less() -> None:
    """An overloaded network must not be asked for everything twice."""
    tested, _ = behind(0, 2, 3)
    network = Network(tested, silent={0, 2, 3})
    suppliers = tested.replica.catch_up.suppliers
    for _ in range(12):
        network.play(tested.wait(8 * PATIENCE_MS))
    assert suppliers.silence_ms == 8 * PATIENCE_MS
    assert all(suppliers.bytes_max(ValidatorIndex(p)) < FETCH_BYTES_MAX for p in (0, 2, 3))
    network.silent = set()
    for _ in range(3):
        network.play(tested.wait(8 * PATIENCE_MS))
    assert tested.replica.state.final == 100


def test_what_a_lost_peer_owes_is_asked_of_another_at_once_and_is_no_fault() -> None:
    tested, _ = behind(0, 2, 3)
    (first, asked), *_ = fetches(tested.hear(headers(1, 64), sender=0))
    effects = tested.step(PeerSilent(ValidatorIndex(first)))
    again = [h for peer, part in fetches(effects) for h in part if peer != first]
    assert set(asked) <= set(again)
    assert not of(effects, Refuse)


def test_a_late_answer_is_neither_believed_nor_blamed() -> None:
    tested, _ = behind(0, 2)
    tested.wait(PATIENCE_MS)
    effects = tested.hear(replace(headers(1, 64), headers=()), sender=0)
    assert not of(effects, Refuse)
    assert not fetches(tested.hear(headers(1, 64), sender=0))


def test_a_peer_with_nothing_to_give_is_not_blamed() -> None:
    tested, _ = behind(0, 2)
    nothing = SlotHeaders(
        first=SequenceNumber(1), certificate=None, checkpoint=None, headers=(), anchors=()
    )
    effects = tested.hear(nothing, sender=0)
    assert requests(effects) == [(2, 1, 64)]
    assert not of(effects, Refuse)


def test_vertices_that_no_range_names_are_let_go_while_behind() -> None:
    """The live end neither floods memory nor is refused: ranges bring it in time."""
    tested, _ = behind(0)
    effects: list[Effect] = []
    for index in range(2, 2_000):
        effects += tested.hear(plain(3, index, CHAIN[150][-1]), sender=3)
    assert not of(effects, Refuse)
    assert not tested.replica.state.graph.orphans


def test_a_vertex_that_got_lost_on_the_way_is_asked_for_again() -> None:
    tested, _ = behind(0, gap=20)
    tested.hear(headers(1, 20), sender=0)
    tested.hear(*[m for slot in CHAIN[:5] for m in slot], sender=0)
    tested.replica.catch_up.bodies._order.clear()  # as if handed on, and lost
    tested.replica.catch_up.bodies._by_hash.clear()
    tested.wait(PATIENCE_MS)
    assert requests(tested.wait(PATIENCE_MS)) + requests(tested.everything[-3:])
    assert finals(Network(tested).play(tested.hear(headers(6, 15), sender=0)))[-1:] == [20]


# --- while behind


def test_who_is_behind_makes_no_vertex() -> None:
    tested, _ = behind(0)
    assert tested.replica.state.behind
    assert not tested.replica.wants_batch()


def test_a_leader_that_is_behind_proposes_nothing() -> None:
    tested = make_replica(0)
    tested.step(PeerConnected(ValidatorIndex(2)))
    tested.do(batch_of(b"waits"))
    count = len([e for e in of(tested.everything, Say) if isinstance(e.statement, VertexMessage)])
    tested.hear(committed(0, CHAIN[99][-1]))
    tested.now_ms += 1_000
    tested.hear(plain(2, 1))
    tested.wait(1_000)
    said = [e for e in of(tested.everything, Say) if isinstance(e.statement, VertexMessage)]
    assert len(said) == count


def test_nobody_sends_votes_to_who_is_far_behind() -> None:
    """They would be dropped: it learns the newest certificate and fetches ranges."""
    tested = make_replica()
    tested.hear(*[m for slot in CHAIN[:20] for m in slot], committed(0, CHAIN[19][-1]), sender=0)
    effects = tested.hear(status_of(final=2), sender=3)
    assert sent(effects, type(committed(0, CHAIN[19][-1])), 3) == [committed(0, CHAIN[19][-1])]
    assert not of(effects, Serve)


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
    tested, _ = behind(0, gap=200)
    effects = tested.hear(headers(1, 64), sender=0)
    assert len(fetches(effects)) + len(requests(effects)) <= FETCH_REQUESTS_MAX


def test_headers_are_not_asked_for_without_end() -> None:
    tested, effects = behind(0, 2, 3, gap=200)
    network = Network(tested)
    for _ in range(20):
        asked = requests(effects)
        if not asked:
            break
        effects = [e for p, f, c in asked for e in tested.hear(headers(f, c), sender=p)]
    assert len(tested.replica.catch_up.bodies) <= HEADERS_AHEAD_MAX + 2 * FETCH_SLOTS_MAX
    assert len(tested.replica.execution.proven) <= 2 * FETCH_SLOTS_MAX
    assert not network.asked


def test_few_certificates_are_kept_while_far_behind() -> None:
    tested, _ = behind(0)
    for slot in CHAIN[100:]:
        tested.hear(committed(0, slot[-1]))
    assert len(tested.replica.execution.waiting) <= BEHIND_SEQUENCES
    assert tested.replica.catch_up.target == 200


def test_a_request_for_slots_is_served_from_storage_and_cut_to_its_bound() -> None:
    tested = make_replica()
    effects = tested.hear(FetchSlots(first=SequenceNumber(7), count=10_000), sender=3)
    assert of(effects, Serve) == [
        Serve(ValidatorIndex(3), first=SequenceNumber(7), count=FETCH_SLOTS_MAX)
    ]


def test_a_sequence_too_large_for_an_answer_is_fetched_vertex_by_vertex() -> None:
    """At n = 128 one sequence may order more headers than a message holds."""
    tested, _ = behind(0)
    answer = headers(1, 10)
    only_anchors = replace(
        answer, headers=(), anchors=tuple(slot[-1].vertex for slot in CHAIN[:10])
    )
    tested.hear(only_anchors, sender=0)
    asked = fetches(tested.wait(TIMING.fetch_delay_ms))
    assert [hashes for _, hashes in asked] == [(named(CHAIN[0][-1]),)]
    network = Network(tested)
    network.play([Send(ValidatorIndex(0), FetchVertices(hashes=asked[0][1]))])
    assert finals(network.play(tested.wait(TIMING.fetch_delay_ms))) == [1]
