"""DAG: vertices by height and author, tips, orphans, and each vertex with its relations."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from rich.text import Text

from console.exports import Record, recorded
from console.picture import Detail, Newest, Part, Picture, Plan, columns, number
from console.rows import Cell, Column, Row, Tone
from console.units import count, plural, size, stamp
from cretonode.operator.protocol_topics import VertexSnapshot, VertexState

HASH_BYTES: Final = 32
SHORT: Final = 8  # hex digits
WALK_MAX: Final = 256
PARENTS_SHOWN: Final = 128

TONES: Final = {
    VertexState.FINAL.value: Tone.GOOD,
    VertexState.WAITING.value: Tone.ACCENT,
    VertexState.ORPHAN.value: Tone.BAD,
    VertexState.DROPPED.value: Tone.DIM,
}


def tone_of(vertex: VertexSnapshot) -> Tone:
    """Return what a vertex's state means; one of a later version means nothing."""
    return TONES.get(vertex.state, Tone.PLAIN)


def hashes_of(joined: bytes) -> list[bytes]:
    """Return the hashes of a field that joins them."""
    return [joined[i : i + HASH_BYTES] for i in range(0, len(joined), HASH_BYTES)]


def vertices_of(picture: Picture) -> tuple[VertexSnapshot, ...]:
    """Return the known vertices."""
    return picture.model.known.vertices or ()


def tips_of(vertices: Iterable[VertexSnapshot]) -> list[VertexSnapshot]:
    """Return the vertices that no other known one names as a parent, orphans not counted."""
    known = [v for v in vertices if v.state in (VertexState.WAITING, VertexState.FINAL)]
    named = {parent for vertex in known for parent in hashes_of(vertex.parents)}
    return [vertex for vertex in known if bytes(vertex.hash) not in named]


def lines(picture: Picture, _: int) -> list[Text]:
    """Return the counts, and what the signs mean."""
    status = picture.model.status
    if status is None:
        return []
    tips = plural(len(tips_of(vertices_of(picture))), "tip")
    first = Text(no_wrap=True)
    first.append(f"{count(status.executed_vertices)} final, {status.waiting_vertices} waiting, ")
    first.append(f"{plural(status.orphans, 'orphan')}, {tips} of those shown")
    return [first, _legend(picture)]


def _legend(picture: Picture) -> Text:
    """Each sign once: the shape says what it is, its filling whether it is final."""
    legend = Text(no_wrap=True)
    for state in (VertexState.FINAL, VertexState.WAITING):
        vertex, anchor = (_sign_of(picture, state, anchor=is_one) for is_one in (False, True))
        legend.append(f"{state} {vertex} vertex {anchor} anchor   ", _style(picture, state))
    for state in (VertexState.ORPHAN, VertexState.DROPPED):
        legend.append(f"{_sign_of(picture, state)} {state}   ", _style(picture, state))
    return legend


def _style(picture: Picture, state: str) -> str:
    return picture.styled(TONES[state])


def _sign_of(picture: Picture, state: str, *, anchor: bool = False) -> str:
    glyphs = picture.look.glyphs
    if state == VertexState.ORPHAN:
        return glyphs.orphan
    if state == VertexState.DROPPED:
        return glyphs.none
    if state == VertexState.FINAL:
        return glyphs.anchor if anchor else glyphs.vertex
    return glyphs.anchor_open if anchor else glyphs.vertex_open


# --- by height and author


def _lane(picture: Picture, vertices: list[VertexSnapshot], width: int) -> Cell:
    """Return every author's lane: an edge that stands also where it made nothing, and signs."""
    glyphs, text, tones = picture.look.glyphs, "", list[Tone]()
    for author in range(len(picture.model.validators)):
        own = [vertex for vertex in vertices if vertex.author == author]
        signs = "".join(_sign_of(picture, v.state, anchor=v.anchor > 0) for v in own)
        if len(signs) > width - 1:
            signs = signs[: width - 2] + glyphs.cut
        text += glyphs.edge + signs.ljust(width - 1)
        lane = [Tone.DIM, *(tone_of(v) for v in own[: width - 1])]
        tones += lane + [Tone.PLAIN] * (width - len(lane))
    return Cell(text, tones=tuple(tones))


def _lane_width(picture: Picture) -> int:
    """Return the cells of a lane, the one of its edge included."""
    names = [len(v.name) for v in picture.model.validators]
    return 3 if len(names) > 8 else min(10, max([4, *names]) + 1)


def graph_columns(picture: Picture) -> tuple[Column, ...]:
    """Return the columns: in the third one, a lane for each author."""
    width = _lane_width(picture)
    names = "".join(
        " " + (str(v.index) if width == 3 else v.name)[: width - 1].ljust(width - 1)
        for v in picture.model.validators
    )
    return (Column("Height", right=True), Column("Sequence", right=True), Column(names),
            Column("Tx", right=True), Column("Anchors"))  # fmt: skip


def graph_rows(picture: Picture) -> list[Row]:
    """Return the heights, the highest first, a sign for each vertex in its author's lane."""
    by_height: defaultdict[int, list[VertexSnapshot]] = defaultdict(list)
    for vertex in vertices_of(picture):
        by_height[vertex.height].append(vertex)
    width = _lane_width(picture)
    found: list[Row] = []
    for height in sorted(by_height, reverse=True):
        vertices = sorted(by_height[height], key=lambda v: (v.author, v.index))
        final = sorted({v.sequence for v in vertices if v.sequence is not None})
        span = (
            f"{final[0]:,}" if len(final) == 1 else f"{final[0]:,}-{final[-1]:,}" if final else "-"
        )
        anchors = ", ".join(f"{v.anchor:,} {v.hash.hex()[:SHORT]}" for v in vertices if v.anchor)
        transactions = sum(v.transactions for v in vertices)
        found.append(
            Row(
                str(height),
                (
                    number(height, f"{height:,}"),
                    number(final[-1] if final else None, span),
                    _lane(picture, vertices, width),
                    number(transactions, count(transactions)),
                    Cell(anchors, Tone.DIM),
                ),
            )
        )
    return found


def graph_detail(picture: Picture, key: str) -> Detail | None:
    """Return the vertices of one height."""
    vertices = [v for v in vertices_of(picture) if str(v.height) == key]
    if not vertices:
        return None
    return Detail(
        title=f"Height {vertices[0].height:,}",
        fields=tuple((picture.model.name_of(v.author), in_words(v)) for v in vertices),
    )


def in_words(vertex: VertexSnapshot) -> str:
    """Return a vertex in one line."""
    kind = f"anchor {vertex.anchor:,}" if vertex.anchor else "vertex"
    final = "" if vertex.sequence is None else f" by sequence {vertex.sequence:,}"
    short = vertex.hash.hex()[:SHORT]
    return (
        f"{kind} {short}, index {vertex.index:,}, {vertex.transactions:,} tx, {vertex.state}{final}"
    )


# --- by vertex


def _row(picture: Picture, vertex: VertexSnapshot) -> Row:
    tone = tone_of(vertex)
    anchor = vertex.anchor > 0
    sign = _sign_of(picture, vertex.state, anchor=anchor)
    return Row(
        vertex.hash.hex(),
        (
            Cell(f"{sign} {vertex.hash.hex()[:SHORT]}", tone),
            Cell(picture.model.name_of(vertex.author), order=vertex.author),
            number(vertex.index, f"{vertex.index:,}"),
            number(vertex.height, f"{vertex.height:,}"),
            number(vertex.anchor, f"anchor {vertex.anchor:,}" if anchor else "vertex"),
            Cell(vertex.state, tone),
            number(vertex.sequence, "-" if vertex.sequence is None else f"{vertex.sequence:,}"),
            number(vertex.transactions, count(vertex.transactions)),
            number(vertex.payload_bytes, size(vertex.payload_bytes)),
            number(len(vertex.parents), str(len(vertex.parents) // HASH_BYTES)),
        ),
    )


def _newest_first(vertices: Iterable[VertexSnapshot]) -> list[VertexSnapshot]:
    return sorted(vertices, key=lambda v: (-v.height, v.author, -v.index))


def vertex_rows(picture: Picture) -> list[Row]:
    """Return the vertices, the highest first."""
    return [_row(picture, vertex) for vertex in _newest_first(vertices_of(picture))]


def tip_rows(picture: Picture) -> list[Row]:
    """Return the tips."""
    return [_row(picture, vertex) for vertex in _newest_first(tips_of(vertices_of(picture)))]


def orphan_rows(picture: Picture) -> list[Row]:
    """Return the vertices that wait for a parent."""
    orphans = [v for v in vertices_of(picture) if v.state == VertexState.ORPHAN]
    return [_row(picture, vertex) for vertex in _newest_first(orphans)]


def vertex_detail(picture: Picture, key: str) -> Detail | None:
    """Return one vertex with its parents and the known vertices that name it."""
    vertex = next((v for v in vertices_of(picture) if v.hash.hex() == key), None)
    return None if vertex is None else described(picture, vertex)


def described(picture: Picture, vertex: VertexSnapshot) -> Detail:
    """Return everything about a vertex."""
    known = {bytes(v.hash): v for v in vertices_of(picture)}
    missing = set(hashes_of(vertex.missing))
    fields = [
        ("hash", vertex.hash.hex()),
        ("author", f"{picture.model.name_of(vertex.author)}, its index {vertex.index:,}"),
        ("height", f"{vertex.height:,}"),
        ("kind", f"anchor of sequence {vertex.anchor:,}" if vertex.anchor else "vertex"),
        ("state", vertex.state),
        ("final by", "-" if vertex.sequence is None else f"sequence {vertex.sequence:,}"),
        ("made", f"{stamp(vertex.timestamp_ms)} by its author's clock"),
        ("payload", f"{vertex.transactions:,} transactions, {size(vertex.payload_bytes)}"),
    ]
    for parent in hashes_of(vertex.parents)[:PARENTS_SHOWN]:
        note = "missing here" if parent in missing else "older than what is shown"
        fields.append(("parent", _relation(picture, known.get(parent), parent, note)))
    named_by = [v for v in known.values() if bytes(vertex.hash) in hashes_of(v.parents)]
    fields += [("named by", _relation(picture, v, bytes(v.hash), "")) for v in named_by]
    return Detail(title=f"Vertex {vertex.hash.hex()[:SHORT]}", fields=tuple(fields))


def _relation(picture: Picture, vertex: VertexSnapshot | None, hash_: bytes, otherwise: str) -> str:
    if vertex is None:
        return f"{hash_.hex()[:SHORT]} ({otherwise})"
    return f"{picture.model.name_of(vertex.author)}: {in_words(vertex)}"


def walked(
    vertices: Iterable[VertexSnapshot], start: bytes, *, descendants: bool
) -> list[VertexSnapshot]:
    """Return the ancestors or descendants among known vertices, nearest first.

    Bound: WALK_MAX.
    """
    known = {bytes(vertex.hash): vertex for vertex in vertices}
    after: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for vertex in known.values():
        for parent in hashes_of(vertex.parents):
            if descendants:
                after[parent].append(bytes(vertex.hash))
            else:
                after[bytes(vertex.hash)].append(parent)
    seen, ring, found = {start}, [start], list[VertexSnapshot]()
    while ring and len(found) < WALK_MAX:
        ring = [h for at in ring for h in after[at] if h in known]
        ring = [h for h in dict.fromkeys(ring) if h not in seen]
        seen.update(ring)
        found += [known[h] for h in ring]
    return found[:WALK_MAX]


# --- as they are exported


def graph_records(picture: Picture) -> dict[str, Record]:
    """Return the heights: how many vertices, of whom, final by which sequences."""
    by_height: defaultdict[int, list[VertexSnapshot]] = defaultdict(list)
    for vertex in vertices_of(picture):
        by_height[vertex.height].append(vertex)
    return {str(height): _height_record(picture, by_height[height]) for height in by_height}


def _height_record(picture: Picture, vertices: list[VertexSnapshot]) -> Record:
    final = [v.sequence for v in vertices if v.sequence is not None]
    authors = sorted({v.author for v in vertices})
    return {
        "height": vertices[0].height,
        "sequence_first": min(final, default=None),
        "sequence_last": max(final, default=None),
        "vertices": len(vertices),
        "authors": " ".join(picture.model.name_of(author) for author in authors),
        "transactions": sum(v.transactions for v in vertices),
        "anchors": " ".join(v.hash.hex() for v in vertices if v.anchor),
    }


def vertex_records(picture: Picture) -> dict[str, Record]:
    """Return the vertices; parents apart by a blank."""
    return {
        v.hash.hex(): recorded(
            v,
            author_name=picture.model.name_of(v.author),
            parents=" ".join(hash_.hex() for hash_ in hashes_of(v.parents)),
            missing=" ".join(hash_.hex() for hash_ in hashes_of(v.missing)),
        )
        for v in vertices_of(picture)
    }


_VERTEX_COLUMNS: Final = columns(
    "Vertex", "Author", ">Index", ">Height", "Kind", "State", ">Sequence", ">Tx", ">Payload",
    ">Parents",
)  # fmt: skip


VERTEX_PARTS: Final = frozenset({"Vertices", "Tips", "Orphans"})  # whose rows are vertices
DAG: Final = Plan(
    name="DAG",
    parts=(
        Part(
            name="Graph",
            columns=(),
            own_columns=graph_columns,
            rows=graph_rows,
            detail=graph_detail,
            records=graph_records,
            empty="no vertex so far",
            newest=Newest.FIRST,
        ),
        Part(
            name="Vertices",
            columns=_VERTEX_COLUMNS,
            rows=vertex_rows,
            detail=vertex_detail,
            records=vertex_records,
            empty="no vertex so far",
            newest=Newest.FIRST,
        ),
        Part(
            name="Tips",
            columns=_VERTEX_COLUMNS,
            rows=tip_rows,
            detail=vertex_detail,
            records=vertex_records,
            empty="no tip so far",
            newest=Newest.FIRST,
        ),
        Part(
            name="Orphans",
            columns=_VERTEX_COLUMNS,
            rows=orphan_rows,
            detail=vertex_detail,
            records=vertex_records,
            empty="no vertex waits for a parent",
            newest=Newest.FIRST,
        ),
    ),
    lines=lines,
    about="Vertices by height and author; v: single vertices, tips, orphans; a, d in a vertex: "
    "its ancestors, its descendants.",
)
