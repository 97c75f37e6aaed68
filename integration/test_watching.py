"""Who watches a real node sees what happens. Source: docs/operator-socket.md; SPEC C1, M3."""

from pathlib import Path

import trio

from cretonode import __version__
from cretonode.cli.cluster import open_cluster
from cretonode.cli.layout import make_testnet
from cretonode.operator.protocol_deltas import Changes, changes_untrusted, merged
from cretonode.operator.protocol_fields import table_untrusted
from cretonode.operator.protocol_recording import (
    RecordingReader,
    history_untrusted,
    recording_head,
)
from cretonode.operator.protocol_topics import Mark, Phase, VertexSnapshot
from integration.conftest import submit_final, transactions
from integration.watching import Watching, open_watching

QUORUM = 3  # of four


def executed(watching: Watching) -> int:
    return sum(slot.transactions for slot in watching.known.slots or () if slot.executed)


def states(watching: Watching) -> set[str]:
    return {vertex.state for vertex in watching.known.vertices or ()}


def alert_kinds(watching: Watching) -> set[str]:
    return {alert.kind for alert in watching.known.alerts or ()}


async def test_votes_vertices_and_peers_are_shown_as_they_are(place: Path) -> None:
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        node = cluster.nodes[1]
        async with open_watching(node.files.operator_socket) as watching:
            await watching.until(lambda w: w.status.phase == Phase.IDLE)
            await submit_final(node, transactions(50))
            await watching.until(lambda w: executed(w) >= 50 and w.status.phase == Phase.IDLE)
            known = watching.known
            assert known.slots is not None
            for slot in known.slots:
                assert slot.executed
                if slot.fetched:
                    continue
                for marks in (slot.prepares, slot.commits):
                    assert sum(mark in (Mark.SEEN, Mark.LATE) for mark in marks) >= QUORUM
                assert slot.finality_ms is not None
            assert watching.status.absent == bytes(4)
            await watching.until(lambda w: w.status.finality_p50_ms is not None)
            assert not known.alerts
            assert {p.version for p in known.peers or ()} == {f"cretonode {__version__}"}
            assert {p.direction for p in known.peers or ()} <= {"in", "out"}
            assert [v.name for v in known.validators or ()] == [n.files.name for n in cluster.nodes]
            await watching.until(lambda w: states(w) == {"final"})
            await _walk(watching)
            await watching.until(lambda w: any(s.syncs > 0 for s in w.known.storage or ()))
            assert watching.known.storage is not None
            assert watching.known.storage[0].total_bytes > 0
            assert {line.event for line in known.log or ()} >= {"identity", "running"}


async def _walk(watching: Watching) -> None:
    """Walk from the newest vertex to its ancestors and back."""
    vertices = watching.known.vertices
    assert vertices
    newest = max(vertices, key=lambda vertex: vertex.height)
    (found,) = await _table(watching, "vertex", newest.hash)
    assert found == newest
    ancestors = await _table(watching, "walk", newest.hash)
    assert {vertex.hash for vertex in ancestors} == {v.hash for v in vertices} - {newest.hash}
    oldest = ancestors[-1]
    answer = await watching.ask("walk", hash=oldest.hash, descendants=True, vertices_max=1)
    (child,) = table_untrusted(VertexSnapshot, answer.value)
    assert oldest.hash in child.parents


async def _table(watching: Watching, command: str, hash_: bytes) -> tuple[VertexSnapshot, ...]:
    answer = await watching.ask(command, hash=hash_)
    assert answer.ok, answer.error
    return table_untrusted(VertexSnapshot, answer.value)


async def test_who_is_missing_why_the_view_moved_and_what_it_was_like(place: Path) -> None:
    """A leader steps down, one node is killed, another is told to stop, and both are named."""
    async with open_cluster(make_testnet(place, size=4)) as cluster:
        names = [node.files.name for node in cluster.nodes]
        async with open_watching(cluster.nodes[1].files.operator_socket) as watching:
            async with open_watching(cluster.nodes[0].files.operator_socket) as leader:
                would = await leader.ask("step_down", dry_run=True)
                does = await leader.ask("step_down")
                assert would.value == f"{does.value}; nothing was done"
                assert not (await watching.ask("step_down")).ok
            await watching.until(lambda w: w.status.view == 1 and w.status.view_open)
            await watching.until(lambda w: any(v.ended for v in w.known.views or ()))
            assert watching.known.views is not None
            change = watching.known.views[-1]
            assert (change.from_leader, change.to_leader) == (0, 1)
            assert sum(change.voters) >= QUORUM
            assert change.duration_ms is not None

            cluster.nodes[3].kill()
            await watching.until(lambda w: w.status.absent == bytes([0, 0, 0, 1]))
            await watching.until(
                lambda w: any(
                    a.kind == "absent" and names[3] in a.text for a in w.known.alerts or ()
                )
            )
            async with open_watching(cluster.nodes[2].files.operator_socket) as stopping:
                effect = await stopping.ask("stop")
                assert isinstance(effect.value, str)
                assert f"{names[2]} stops; this leaves " in effect.value
            assert await cluster.nodes[2].wait_stopped() == 0
            await watching.until(lambda w: w.status.absent == bytes([0, 0, 1, 1]))
            await watching.until(
                lambda w: names[2] in w.status.lacking and names[3] in w.status.lacking
            )
            await watching.until(
                lambda w: any(a.kind == "quorum_missing" for a in w.known.alerts or ())
            )
            await _check_history(watching)


async def _check_history(watching: Watching) -> None:
    """What was shown can be read back: the same view change, and who was missing when."""
    assert watching.hello is not None
    with trio.fail_after(60):
        while True:
            reader = RecordingReader()
            reader.feed(recording_head(watching.hello))
            known, absences, cursor = Changes(), [], None
            while True:
                place = {} if cursor is None else {"cursor": cursor}
                answer = await watching.ask("history", **place)
                piece = history_untrusted(answer.value)
                reader.feed(piece.frames)
                for delta in reader.deltas_untrusted():
                    known = merged(known, changes_untrusted(delta), fresh=delta.fresh)
                    absences.append(known.status[0].absent if known.status else b"")
                cursor = piece.cursor
                if cursor is None:
                    break
            assert reader.end_untrusted() == 0
            if absences and absences[-1] == bytes([0, 0, 1, 1]):
                break
            await trio.sleep(0.2)
    assert known.vertices is None
    assert known.views == watching.known.views
    assert bytes(4) in absences
