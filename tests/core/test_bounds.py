"""Everything that can grow has a bound: every container of the core, flooded as liars would.

`BOUNDS` lists the containers of `core` and `dag` and how much each may hold; the floods below go
through `step` alone, and after each the list is gone through. Containers of `node` and `network`
are listed with the test that fills them. A container that no list knows fails the last tests.
SPEC C5, C6; house style 17.
"""

import ast
import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from cretonode.core.replica import Replica
from cretonode.limits import (
    AUTHOR_HELD_MAX,
    AUTHOR_ORPHANS_MAX,
    AUTHOR_UNFINAL_MAX,
    BEHIND_SEQUENCES,
    DETECTOR_CHECKPOINTS_MAX,
    DETECTOR_VIEWS_MAX,
    EVIDENCE_PER_AUTHOR_MAX,
    FETCH_SLOTS_MAX,
    FINAL_RECALLED_MAX,
    FUTURE_VIEW_MESSAGES_MAX,
    INDEXES_MAX,
    LOOKUP_HASHES_MAX,
)
from tests.core.floods import FLOODS, Flood
from tests.core.replicas import Driven, make_replica

ROOT_PATH: Final = Path(__file__).parent.parent.parent
CONTAINERS: Final = (dict, set, list, deque, defaultdict, Counter)


@dataclass(frozen=True)
class Bound:
    """The container, how much it may hold, and how much some flood must have put there."""

    container: Callable[[Replica], object]
    most: Callable[[Replica], int]
    reached: int | None = None  # None: the bound itself


def n(replica: Replica) -> int:
    return replica.state.committee.size


def window(replica: Replica) -> int:
    return replica.state.committee.parameters.window


def checkpoints(replica: Replica) -> int:
    return 2 * window(replica) // replica.state.committee.parameters.checkpoint_interval


def held(replica: Replica) -> int:
    """Return how many admitted vertices there may be. A range request's may be more than others."""
    return n(replica) * FETCH_SLOTS_MAX * AUTHOR_UNFINAL_MAX


def orphaned(replica: Replica) -> int:
    return held(replica) + n(replica) * AUTHOR_ORPHANS_MAX


def parents(replica: Replica) -> int:
    return orphaned(replica) * (n(replica) + 1)


def recent(replica: Replica) -> int:
    """Return how many sequences behind finality are remembered."""
    return 2 * window(replica) + replica.state.committee.parameters.checkpoint_interval


def slots(replica: Replica) -> list[object]:
    return list(replica.ordering.slots.values())


BOUNDS: Final[dict[str, Bound]] = {
    # --- validators: one entry each
    "State.equivocators": Bound(lambda r: r.state.equivocators, n, 1),
    "State.connected": Bound(lambda r: r.state.connected, n, 3),
    "Detector.evidence": Bound(
        lambda r: r.detector.evidence, lambda r: n(r) * (EVIDENCE_PER_AUTHOR_MAX + 1), 1
    ),
    "Detector._heard": Bound(lambda r: r.detector._heard, n),
    # --- what each author signed
    "Heard.votes": Bound(
        lambda r: max((h.votes for h in r.detector._heard.values()), key=len),
        lambda r: r.detector._votes_max,
        1,
    ),
    "Heard.commits": Bound(
        lambda r: max((h.commits for h in r.detector._heard.values()), key=len),
        lambda _: DETECTOR_VIEWS_MAX,
        1,
    ),
    "Heard.view_changes": Bound(
        lambda r: max((h.view_changes for h in r.detector._heard.values()), key=len),
        lambda _: DETECTOR_VIEWS_MAX,
        1,
    ),
    "Heard.new_views": Bound(
        lambda r: max((h.new_views for h in r.detector._heard.values()), key=len),
        lambda _: DETECTOR_VIEWS_MAX,
        0,
    ),
    "Heard.checkpoints": Bound(
        lambda r: max((h.checkpoints for h in r.detector._heard.values()), key=len),
        lambda _: DETECTOR_CHECKPOINTS_MAX,
        1,
    ),
    "Graph._held": Bound(lambda r: list(r.state.graph._held), n, 2),
    "Graph._orphaned": Bound(lambda r: list(r.state.graph._orphaned), n, 2),
    "Graph.newest_final": Bound(lambda r: r.state.graph.newest_final, n, 2),
    "Intake._served_ms": Bound(lambda r: r.intake._served_ms, n, 2),
    "Retransmission.finals": Bound(lambda r: r.retransmission.finals, n, 3),
    "Views.view_changes": Bound(lambda r: r.views.view_changes, n, 1),
    "Views._silent": Bound(lambda r: r.views._silent, n, 3),
    "Views._suspects": Bound(lambda r: r.views._suspects, n, 1),
    "Slot.prepares": Bound(
        lambda r: max((s.prepares for s in r.ordering.slots.values()), key=len, default=()), n, 2
    ),
    "Slot.commits": Bound(
        lambda r: max((s.commits for s in r.ordering.slots.values()), key=len, default=()), n, 2
    ),
    "Loners._ahead": Bound(lambda r: r.views.loners._ahead, n, 1),
    # --- sequences in flight
    "Pace._accepted_ms": Bound(lambda r: r.state.pace._accepted_ms, window),
    "Ordering.slots": Bound(lambda r: r.ordering.slots, window),
    "Ordering.accepted": Bound(lambda r: r.ordering.accepted, window),
    "Ordering.said": Bound(lambda r: r.ordering.said, window),
    "Ordering.untimely": Bound(lambda r: r.ordering.untimely, n, 0),
    "Ordering._future": Bound(
        lambda r: r.ordering._future,
        lambda r: n(r) * FUTURE_VIEW_MESSAGES_MAX,
        FUTURE_VIEW_MESSAGES_MAX,
    ),
    "Chain.links": Bound(lambda r: r.state.chain.links, window),
    "Chain.covered": Bound(lambda r: r.state.chain.covered, held, 8),
    "Checkpoints.own": Bound(lambda r: r.checkpoints.own, checkpoints),
    "Checkpoints._votes": Bound(
        lambda r: r.checkpoints._votes, lambda r: n(r) * (checkpoints(r) + 1), 4
    ),
    "Execution.waiting": Bound(
        lambda r: r.execution.waiting, lambda r: 2 * window(r), BEHIND_SEQUENCES
    ),
    # --- sequences behind finality
    "Execution.anchors": Bound(lambda r: r.execution.anchors, recent, 16),
    "Dedup._by_sequence": Bound(
        lambda r: list(r.state.dedup._by_sequence), lambda r: r.state.dedup.window
    ),
    "Dedup._executed": Bound(
        lambda r: r.state.dedup._executed, lambda r: r.state.dedup.transactions_max, 16
    ),
    # --- vertices
    "Graph._recalled": Bound(
        lambda r: r.state.graph._recalled, lambda r: 2 * FINAL_RECALLED_MAX, FINAL_RECALLED_MAX
    ),
    "Intake._granted": Bound(
        lambda r: r.intake._granted, lambda r: r.state.committee.history_vertices_max
    ),
    "Graph.admitted": Bound(lambda r: r.state.graph.admitted, held, AUTHOR_HELD_MAX),
    "Graph.orphans": Bound(lambda r: r.state.graph.orphans, orphaned, AUTHOR_ORPHANS_MAX),
    "Graph._wanted": Bound(lambda r: r.state.graph._wanted, orphaned, 1),
    "Graph._missing": Bound(lambda r: r.state.graph._missing, parents, AUTHOR_ORPHANS_MAX),
    "Graph._children": Bound(lambda r: r.state.graph._children, parents, AUTHOR_ORPHANS_MAX),
    "Graph.final": Bound(
        lambda r: r.state.graph.final,
        lambda r: (
            recent(r) * r.state.committee.history_vertices_max + 2 * FINAL_RECALLED_MAX + parents(r)
        ),
        FINAL_RECALLED_MAX // 2,
    ),
    "Intake.transaction_ids": Bound(lambda r: r.intake.transaction_ids, held, AUTHOR_HELD_MAX),
    "Intake._seen": Bound(lambda r: r.intake._seen, held, AUTHOR_HELD_MAX),
    "Intake._orphans": Bound(lambda r: r.intake._orphans, orphaned, AUTHOR_ORPHANS_MAX),
    "Intake._checking": Bound(lambda r: r.intake._checking, lambda r: LOOKUP_HASHES_MAX),
    "Intake._wants": Bound(lambda r: r.intake._wants, lambda r: parents(r) + 3 * window(r), 64),
    "Intake._stored": Bound(lambda r: r.intake._stored, lambda r: orphaned(r), 1),
    "Intake._by_index": Bound(
        lambda r: r.intake._by_index,
        lambda r: held(r) + orphaned(r) + n(r) * AUTHOR_UNFINAL_MAX + INDEXES_MAX + 1,
        INDEXES_MAX // 2,
    ),
    # --- the running step
    "State.effects": Bound(lambda r: r.state.effects, lambda r: 0),
}
# Bounded by what it stands for: the test that fills it, or why there is none.
ELSEWHERE: Final = {
    "core/records.py Promises.accepted": "tests/core/test_records.py::"
    "test_a_stable_checkpoint_lets_older_promises_go",
    "core/retransmission.py Retransmission._resent": "RESENT_VERTICES_MAX for each validator",
    "core/records.py Promises.checkpoints": "tests/core/test_records.py::"
    "test_of_checkpoints_that_never_become_stable_the_newest_are_kept",
    "core/amnesia.py Amnesia.attested": "tests/core/test_amnesia.py::"
    "test_the_first_word_of_each_counts",
    "core/attester.py Attester._answers": "one of each validator",
    "core/attester.py Attester._answered_ms": "one of each validator",
    "core/bodies.py Bodies._by_hash": "tests/core/test_catch_up.py::"
    "test_headers_are_not_asked_for_without_end",
    "core/bodies.py Bodies._order": "tests/core/test_bodies.py::"
    "test_no_more_than_the_window_is_asked_for_or_held",
    "core/bodies.py Bodies._unasked": "at most those of `_by_hash`",
    "core/bodies.py Bodies._requests": "tests/core/test_bodies.py::"
    "test_a_peer_has_no_more_than_its_requests_under_way",
    "core/bodies.py Request.lacking": "at most FETCH_HASHES_MAX: what one request names",
    "core/catch_up.py Asked.unsure": "parents that the headers of one answer name",
    "core/checkpoint.py Checkpoints.expected": "one of each range that is certified and not final",
    "core/execution.py Execution.proven": "tests/core/test_catch_up.py::"
    "test_headers_are_not_asked_for_without_end",
    "core/intake.py Intake.certified": "those of `Bodies._by_hash`, and handed on and not final",
    "core/suppliers.py Suppliers.finals": "one of each validator",
    "core/suppliers.py Suppliers._records": "one of each validator",
    "core/state.py State.amnesiacs": "one of each validator",
    "core/pauses.py Pauses._times": "tests/core/test_loners.py::"
    "test_pauses_double_to_a_cap_for_one_who_is_always_ahead",
    "core/pauses.py Pauses._last_ms": "tests/core/test_loners.py::"
    "test_pauses_double_to_a_cap_for_one_who_is_always_ahead",
    "core/pace.py Series.waits_ms": "a deque with a length",
    "core/pace.py Pace._votes_ms": "a deque with a length",
    "core/pace.py Pace._row": "one of each validator",
    "core/slots.py Slot.shown": "one of each validator",
    "core/reputation.py Reputation.log": "tests/core/test_reputation.py::"
    "test_whatever_happens_at_most_f_others_are_banned_and_everything_stays_small",
    "core/reputation.py Reputation.bans": "one of each validator",
    "core/reputation.py Reputation.cleared_ms": "one of each validator",
    "core/reputation.py Reputation.counts": "one of each type of violation",
    "node/bans.py Bans.evidence": "tests/node/test_bans.py::"
    "test_rows_are_bounded_whatever_a_peer_does",
    "node/bans.py Bans.node_ids": "one of each validator",
    "node/bans.py Bans.names": "one of each validator",
    "node/bans.py Bans.in_force": "one of each validator",
    "node/bans.py Bans._numbers": "one of each validator",
    "node/bans.py Bans._rows": "tests/node/test_bans.py::"
    "test_rows_are_bounded_whatever_a_peer_does",
    "node/links.py Links._conduct": "one of each validator",
    "node/channel.py Channel._views": "one of each message in `_waiting`",
    "node/inbox.py Inbox._bytes": "one of each peer",
    "node/batcher.py Batcher.unfinal": "tests/core/floods.py::own_batches",
    "node/batcher.py Batcher._waiting": "tests/node/test_batcher.py::"
    "test_past_its_bound_nothing_of_a_request_is_taken",
    "node/batcher.py Batcher._outdated": "tests/node/test_batcher.py::"
    "test_what_is_taken_again_does_not_ask_for_room",
    "node/batcher.py Batcher._pending": "tests/node/test_batcher.py::"
    "test_past_its_bound_nothing_of_a_request_is_taken",
    "node/batcher.py Batcher._vouched": "at most as many as pending_max, else it is gone through",
    "node/batcher.py Batcher._batched": "tests/core/floods.py::own_batches",
    "node/channel.py Channel._heard": "one of each class",
    "node/channel.py Channel._said": "one of each class",
    "node/channel.py Channel._waiting": "tests/node/test_channel.py::"
    "test_a_peer_that_reads_nothing_costs_a_bounded_amount",
    "node/channel.py Channel._waiting_bytes": "one of each class",
    "node/alerts.py Alerts.since_ms": "one of each kind of alert",
    "node/chronicle.py Chronicle.names": "one of each validator",
    "node/driver.py Counts.refused": "one of each Reason",
    "node/history.py History.segments": "tests/node/test_history.py::"
    "test_starts_that_end_soon_leave_a_bounded_number_of_files",
    "node/performer.py Performer.syncs_ms": "a deque with a length",
    "node/phase.py Waiting.awaits": "one of each validator",
    "node/slot_book.py Page.prepares": "one byte of each validator",
    "node/slot_book.py Page.commits": "one byte of each validator",
    "node/slot_book.py SlotBook.pages": "tests/node/test_slot_book.py::"
    "test_the_book_is_bounded_whatever_comes",
    "node/verification.py Verification.unbelieved": "a deque with a length",
    "node/vertex_book.py VertexBook.past": "a deque with a length",
    "node/vertex_book.py VertexBook.here": "tests/node/test_view_and_vertex_books.py::"
    "test_the_vertices_kept_are_bounded",
    "node/steering.py Steering.names": "one of each validator",
    "node/view_book.py ViewBook.names": "one of each validator",
    "node/view_book.py Leaf.voters": "one byte of each validator",
    "node/view_book.py ViewBook.leaves": "a deque with a length",
    "node/watcher.py NodeWatcher._at": "one of each topic",
    "node/watcher.py NodeWatcher._known": "one of each topic",
    "node/watcher.py NodeWatcher._looked_ms": "one of each topic",
    "node/finality.py Finality.latencies_ms": "a deque with a length",
    "node/finality.py Finality._waiting": "tests/api/test_routes.py::"
    "test_more_waits_than_allowed_are_refused_before_anything_is_taken",
    "node/inbox.py Inbox._own": "what the node itself has under way",
    "node/inbox.py Inbox._peers": "tests/node/test_inbox.py::"
    "test_a_flooding_peer_waits_and_another_does_not",
    "node/inbox.py Inbox._room": "one of each peer",
    "node/links.py Links.channels": "one of each validator",
    "node/links.py Links.heard": "one of each validator",
    "node/links.py Links._index_of": "one of each validator",
    "node/links.py Links.recovered": "one of each validator",
    "node/links.py Links._silent": "one of each validator",
    "node/progress.py Progress._samples": "a deque with a length",
    "node/retaker.py Retaker._retakes": "tests/core/floods.py::own_batches",
    "node/retaker.py Retaker._under_way": "tests/core/floods.py::own_batches",
    "node/server.py SlotServer._waiting": "one of each validator",
    "node/server.py Waiting._requests": "tests/node/test_server.py::"
    "test_requests_past_the_bound_are_dropped",
    "node/verification.py Verification._recent": "tests/node/test_verification.py::"
    "test_what_is_remembered_of_signatures_is_bounded",
    "node/verification.py Verification._older": "tests/node/test_verification.py::"
    "test_what_is_remembered_of_signatures_is_bounded",
    "network/admission.py Admission._hosts": "tests/network/test_admission.py::"
    "test_the_hosts_remembered_are_bounded_and_the_busy_ones_stay",
    "network/connection.py Connection.ids": "what the engine gives out: 8 at most",
    "network/counters.py EndpointCounters.handshakes_refused": "one of each reason",
    "network/counters.py EndpointCounters.connections_ended": "one of each reason",
    "network/counters.py EndpointCounters.datagrams_dropped": "one of each reason",
    "network/counters.py EndpointCounters.engine_faults": "one of each kind of exception",
    "network/endpoint.py Endpoint._routes": "tests/network/test_endpoint.py::"
    "test_inbound_connections_are_bounded",
    "network/endpoint.py Endpoint._connections": "tests/network/test_endpoint.py::"
    "test_inbound_connections_are_bounded",
    "network/endpoint.py Endpoint._due": "one of each connection",
    "network/frames.py FrameDecoder._buffer": "tests/network/test_frames.py::"
    "test_an_oversized_frame_is_refused_at_its_length",
    "network/half_open.py HalfOpen._connections": "tests/network/test_half_open.py::"
    "test_a_flood_crowds_out_its_own_beginnings_and_not_anothers",
    "network/half_open.py HalfOpen._hosts": "one of each connection, at most",
    "network/half_open.py Lingering._goodbyes": "tests/network/test_half_open.py::"
    "test_what_lingers_is_bounded",
    "network/inbound.py Inbound._by_stream": "tests/network/test_transfer.py::"
    "test_more_streams_than_classes_are_refused",
    "network/inbound.py Inbound._by_priority": "one of each class",
    "network/outbound.py _Lane.pieces": "tests/network/test_outbound.py::"
    "test_a_full_class_refuses_and_counts_and_holds_up_nobody",
    "network/outbound.py Outbound._lanes": "one of each class",
    "network/outbound.py Outbound.refused": "one of each class",
    "network/peers.py Peers._links": "one of each validator",
    "network/rate.py Seldom._last_s": "tests/network/test_rate.py::"
    "test_strangers_cannot_make_it_remember_without_end",
}
# Their values look like containers and are none that grows.
NO_CONTAINERS: Final = {"core/replica.py Replica.checkpoints"}
# What one flood may bring about at most, tighter than what all together may.
TIGHT: Final[dict[str, dict[str, int]]] = {
    "vertices": {
        "Graph.admitted": AUTHOR_HELD_MAX,
        "Graph.orphans": AUTHOR_ORPHANS_MAX,
        "Intake._orphans": AUTHOR_ORPHANS_MAX,
        "Intake.transaction_ids": AUTHOR_HELD_MAX,
        "Intake._wants": AUTHOR_ORPHANS_MAX,
        "Intake._by_index": AUTHOR_HELD_MAX + AUTHOR_ORPHANS_MAX,
    },
    "old_parents": {"Graph.final": 2 * FINAL_RECALLED_MAX + 60},
    "rising_indexes": {"Intake._by_index": INDEXES_MAX + 60},
    "long_run": {"Graph.final": 4 * 20, "Intake._by_index": 4 * 20 + 2 * AUTHOR_UNFINAL_MAX},
    "in_flight": {"Intake._wants": 8},
}


def size_of(container: object) -> int:
    """Return how many things a container holds, those of containers within included."""
    if isinstance(container, dict):
        inner = list(container.values())
        return sum(size_of(v) if isinstance(v, CONTAINERS) else 1 for v in inner)
    assert isinstance(container, set | list | deque | tuple)
    return len(container)


# --- floods


@cache
def peaks_of(flood: Callable[[Driven], Flood]) -> dict[str, int]:
    """Return the most that each container held while `flood` came in."""
    peaks: Counter[str] = Counter()
    for tested in flood(make_replica()):
        for name, bound in BOUNDS.items():
            size = size_of(bound.container(tested.replica))
            assert size <= bound.most(tested.replica), f"{name} holds {size}"
            peaks[name] = max(peaks[name], size)
    return peaks


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_no_flood_passes_a_bound(flood: Callable[[Driven], Flood]) -> None:
    peaks = peaks_of(flood)
    for name, most in TIGHT.get(flood.__name__, {}).items():
        assert 0 < peaks[name] <= most, (name, peaks[name])


def test_the_floods_fill_everything() -> None:
    """A bound that no flood comes near would be tested by nothing."""
    replica = make_replica().replica
    for name, bound in BOUNDS.items():
        wanted = bound.most(replica) if bound.reached is None else bound.reached
        reached = max(peaks_of(flood)[name] for flood in FLOODS)
        assert reached >= wanted, f"{name}: {reached} of {wanted}"


# --- the lists are complete


def containers_under(package: str) -> Iterator[str]:
    """Yield each attribute of a class below `cretonode` that can grow: "path Class.name".

    A field or an attribute set in `__init__` whose type or value names a container. What is frozen
    does not grow.
    """
    grows = re.compile(r"\b(dict|set|deque|list|defaultdict|OrderedDict|Counter|bytearray)\b|[{[]")
    for path in sorted((ROOT_PATH / "cretonode" / package).rglob("*.py")):
        for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(kind, ast.ClassDef) or "frozen=True" in _decorators(kind):
                continue
            place = f"{path.relative_to(ROOT_PATH / 'cretonode')} {kind.name}"
            for name, text in _attributes(kind):
                if grows.search(text):
                    yield f"{place}.{name}"


def _decorators(kind: ast.ClassDef) -> str:
    return " ".join(map(ast.unparse, kind.decorator_list))


def _attributes(kind: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield name and type (or value) of each attribute."""
    for field in kind.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            outer = ast.unparse(field.annotation)
            yield field.target.id, "" if outer.startswith(("tuple", "Callable")) else outer
        if isinstance(field, ast.FunctionDef) and field.name == "__init__":
            for node in ast.walk(field):
                targets = node.targets if isinstance(node, ast.Assign) else ()
                if isinstance(node, ast.AnnAssign):
                    targets = (node.target,)
                for target in targets:
                    if isinstance(target, ast.Attribute) and node.value is not None:
                        yield target.attr, ast.unparse(node.value)


@pytest.mark.parametrize("package", ["core", "dag", "node", "network"])
def test_every_container_is_in_a_list(package: str) -> None:
    for name in containers_under(package):
        known = name in ELSEWHERE or name.split(" ")[1] in BOUNDS
        assert known or name in NO_CONTAINERS, f"{name}: what bounds it, and which test fills it?"


def test_the_lists_name_what_there_is() -> None:
    found = {
        name for package in ("core", "dag", "node", "network") for name in containers_under(package)
    }
    short = {name.split(" ")[1] for name in found}
    assert set(BOUNDS) <= short, set(BOUNDS) - short
    assert set(ELSEWHERE) <= found, set(ELSEWHERE) - found
    for test in ELSEWHERE.values():
        if "::" in test:
            path, name = test.split("::")
            assert f"def {name}(" in (ROOT_PATH / path).read_text(encoding="utf-8"), test
