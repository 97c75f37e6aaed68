"""Peers: who is connected, how well, how far behind."""

from typing import Final

from rich.text import Text

from console.exports import Record, iso_time, recorded
from console.picture import Detail, Part, Picture, Plan, columns, number
from console.rows import Cell, Row, Tone
from console.units import count, duration, since, size
from console.verdict import Standing, missing_since_ms
from cretonode.operator.protocol_topics import SILENT_MS, WatchedPeerSnapshot

LAG_WARN: Final = 64  # sequences; a peer says where it stands about once a second
SCORE_WARN: Final = 0.7
SCORE_BAD: Final = 0.3  # a ban
QUEUE_WARN: Final = 1 << 20
GONE_SHOWN: Final = 3
BANNED: Final = "banned"  # the state of a peer


def lines(picture: Picture, _: int) -> list[Text]:
    """Return how many are connected."""
    status = picture.model.status
    if status is None:
        return []
    absent = picture.verdict.absent
    here = f"{status.validators - len(absent)} of {status.validators}"
    words = f"{here} reachable, quorum {status.quorum}: {picture.verdict.margin}"
    if picture.verdict.standing is Standing.STALE:
        words = f"when last heard: {here} reachable, quorum {status.quorum}"
    text = Text(words, no_wrap=True)
    gone = [p for p in picture.model.known.peers or () if p.name in absent]
    found = [text]
    for peer in gone[:GONE_SHOWN]:
        why = "" if peer.connected else peer.last_error
        if peer.state == BANNED:
            why = why.removeprefix("banned: ")
        how = absence(picture, peer) or "not heard"  # by the status, which may be the newer word
        words = f"{peer.name} {how}" + (f": {why}" if why else "")
        found.append(Text(words, picture.styled(Tone.BAD), no_wrap=True))
    return found


def absence(picture: Picture, peer: WatchedPeerSnapshot) -> str:
    """Return `silent 1.7 s`, `missing since 09:14:02 (3 min)`; empty when the peer is heard."""
    if peer.connected:
        return f"silent {duration(peer.silence_ms)}" if _is_silent(peer) else ""
    since_ms = missing_since_ms(picture.model, peer)
    assert since_ms is not None, peer.name
    what = "banned" if peer.state == BANNED else "missing"
    return f"{what} {since(since_ms, picture.now_ms)}"


def _is_silent(peer: WatchedPeerSnapshot) -> bool:
    return peer.connected and peer.silence_ms is not None and peer.silence_ms > SILENT_MS


def score_of(picture: Picture, index: int) -> float | None:
    """Return a validator's reputation."""
    for each in picture.model.known.reputation or ():
        if each.validator == index:
            return each.score
    return None


def score_tone(score: float | None) -> Tone:
    """Return what a score means."""
    if score is None or score >= SCORE_WARN:
        return Tone.PLAIN
    return Tone.WARN if score >= SCORE_BAD else Tone.BAD


def lag_of(picture: Picture, peer: WatchedPeerSnapshot) -> int | None:
    """Return how many sequences a peer is behind this node, by its own word."""
    status = picture.model.status
    if status is None or peer.final is None:
        return None
    return max(0, status.final - peer.final)


def _state(peer: WatchedPeerSnapshot) -> Cell:
    if not peer.connected:
        return Cell(peer.state, Tone.BAD)
    if _is_silent(peer):
        return Cell("silent", Tone.BAD)
    return Cell(peer.state, Tone.GOOD)


def _lasts_ms(peer: WatchedPeerSnapshot) -> float:
    """Return for how long what `_state` says has been so."""
    return peer.silence_ms or 0.0 if _is_silent(peer) else peer.state_ms


def _standing(picture: Picture, peer: WatchedPeerSnapshot) -> str:
    """Return the state with what it lasts for, and with since when the peer is missing."""
    if peer.connected:
        words = f"connected for {duration(peer.state_ms)}"
        return f"{words}, {absence(picture, peer)}" if _is_silent(peer) else words
    words = absence(picture, peer)
    if peer.connections == 0 and peer.state != BANNED:
        words += ", never heard since this node started"
    return words if peer.state == BANNED else f"{peer.state}, {words}"


def _row(picture: Picture, peer: WatchedPeerSnapshot) -> Row:
    lag, score = lag_of(picture, peer), score_of(picture, peer.index)
    state = _state(peer)
    queue = peer.backlog_bytes + peer.inbound_bytes
    return Row(
        str(peer.index),
        (
            Cell(f"{picture.look.glyphs.of(state.tone)} {peer.name}", state.tone, order=peer.index),
            state,
            number(_lasts_ms(peer), duration(_lasts_ms(peer))),
            number(peer.round_trip_ms, duration(peer.round_trip_ms)),
            number(lag, "-" if lag is None else count(lag),
                   Tone.WARN if lag is not None and lag > LAG_WARN else Tone.PLAIN),
            number(queue, size(queue), Tone.WARN if queue > QUEUE_WARN else Tone.PLAIN),
            number(score, "-" if score is None else f"{score:.2f}", score_tone(score)),
            Cell(peer.direction or "-"),
            Cell(peer.path or "-"),
            Cell(peer.address),
            number(peer.view, "-" if peer.view is None else str(peer.view)),
            Cell(peer.version or "-"),
            Cell(peer.last_error, Tone.WARN),
        ),
    )  # fmt: skip


def rows(picture: Picture) -> list[Row]:
    """Return the other validators, in the order of the genesis list."""
    peers = sorted(picture.model.known.peers or (), key=lambda peer: peer.index)
    return [_row(picture, peer) for peer in peers]


def detail(picture: Picture, key: str) -> Detail | None:
    """Return everything about one peer."""
    peer = next((p for p in picture.model.known.peers or () if str(p.index) == key), None)
    if peer is None:
        return None
    lag, score = lag_of(picture, peer), score_of(picture, peer.index)
    return Detail(
        title=peer.name,
        fields=(
            ("state", _standing(picture, peer)),
            ("last error", peer.last_error or "none"),
            ("node id", peer.node_id.hex()),
            ("address", peer.address),
            ("path", f"{peer.path or '-'}, {peer.direction or 'no'} connection"),
            ("round trip", duration(peer.round_trip_ms)),
            ("last heard", f"{duration(peer.silence_ms)} ago" if peer.connected else "-"),
            ("view", "-" if peer.view is None else f"{peer.view} by its own word"),
            ("final", "-" if peer.final is None else f"{peer.final:,} by its own word"),
            ("lag", "-" if lag is None else f"{lag:,} sequence{'' if lag == 1 else 's'}"),
            ("to be sent", size(peer.backlog_bytes)),
            ("not taken up", size(peer.inbound_bytes)),
            ("score", "-" if score is None else f"{score:.3f}"),
            ("connections", f"{peer.connections} since the start, {peer.failures} failed in a row"),
            ("version", peer.version or "-"),
        ),
    )  # fmt: skip


def records(picture: Picture) -> dict[str, Record]:
    """Return the peers as they are exported."""
    return {
        str(peer.index): recorded(
            peer,
            missing_since=iso_time(missing_since_ms(picture.model, peer)),
            lag=lag_of(picture, peer),
            score=score_of(picture, peer.index),
        )
        for peer in picture.model.known.peers or ()
    }


PEERS: Final = Plan(
    name="Peers",
    parts=(
        Part(
            name="Peers",
            columns=columns(
                "Validator", "State", ">For", ">RTT", ">Lag", ">Queue", ">Score", "Dir", "Path",
                "Address", ">View", "Version", "Last error",
            ),
            rows=rows,
            detail=detail,
            records=records,
            empty="this network has no other validator",
        ),
    ),
    lines=lines,
    about="Connections, round trips, lag, queues, scores; b: ban, u: take a ban back.",
)  # fmt: skip
