"""Ranges prove themselves: nothing a peer says of finalized sequences is believed without."""

from dataclasses import replace

from cretonode.core.effects import Finalize, Halt, Reason, Send
from cretonode.core.messages import FetchVertices, SlotHeaders
from cretonode.identifiers import SequenceNumber, ValidatorIndex
from tests.core.catching_up import (
    CHAIN,
    Network,
    behind,
    fetches,
    finals,
    headers,
    refusals,
    requests,
)
from tests.core.replicas import TIMING, anchors, committed, named, of, plain, stable

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


def test_a_certificate_above_the_range_proves_it() -> None:
    """Certificates are sparse: anchors alone lead down from the next one."""
    tested, _ = behind(0)
    assert fetches(tested.hear(headers(1, 10, extra=30), sender=0))
    effects = tested.hear(*[m for slot in CHAIN[:10] for m in slot], sender=0)
    assert finals(effects) == list(range(1, 11))
    assert [f.certificate for f in of(effects, Finalize)] == [None] * 10


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
    # And what lies above it comes by ranges again.
    assert finals(network.play(tested.wait(TIMING.fetch_delay_ms))) == list(range(1, 101))
    assert refusals(tested.everything) == []
