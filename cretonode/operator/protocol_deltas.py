"""Deltas: what a watching client is told, topic by topic, and what the deltas so far add up to.

The node makes `Changes` and sends `delta_of` them; a client takes `changes_untrusted` of a delta
and merges them into what it knows. Pure. Source: docs/operator-socket.md, section 6.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from cretonode.crypto.canonical import Value
from cretonode.errors import MalformedMessage
from cretonode.limits import VALIDATORS_MAX
from cretonode.operator.protocol import (
    RECORDS_MAX,
    BanSnapshot,
    Delta,
    EvidenceSnapshot,
    ReputationSnapshot,
    ViolationSnapshot,
)
from cretonode.operator.protocol_fields import table_untrusted, table_value
from cretonode.operator.protocol_topics import (
    AlertSnapshot,
    FamilySnapshot,
    LogSnapshot,
    SlotSnapshot,
    StorageSnapshot,
    ValidatorSnapshot,
    VertexSnapshot,
    ViewChangeSnapshot,
    WatchedPeerSnapshot,
    WatchedStatusSnapshot,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ALERTS_MAX: Final = 16
FAMILIES_MAX: Final = 32
SLOTS_MAX: Final = 256  # the newest
VIEW_CHANGES_MAX: Final = 128
VERTICES_MAX: Final = 512
LOG_LINES_MAX: Final = 1000


class Merge(Enum):
    """What the rows of a delta do to those that are known."""

    WHOLE = auto()  # take their place
    KEYED = auto()  # take the place of the row with the same key, or are added
    ADDED = auto()  # are added


class Topic(NamedTuple):
    """How one topic travels."""

    kind: "type[DataclassInstance]"
    merge: Merge
    rows_max: int  # kept: the newest
    key: str = ""  # of KEYED


TOPICS: Final[Mapping[str, Topic]] = {
    "alerts": Topic(AlertSnapshot, Merge.WHOLE, ALERTS_MAX),
    "bans": Topic(BanSnapshot, Merge.WHOLE, RECORDS_MAX),
    "evidence": Topic(EvidenceSnapshot, Merge.WHOLE, RECORDS_MAX),
    "families": Topic(FamilySnapshot, Merge.WHOLE, FAMILIES_MAX),
    "log": Topic(LogSnapshot, Merge.ADDED, LOG_LINES_MAX),
    "peers": Topic(WatchedPeerSnapshot, Merge.KEYED, VALIDATORS_MAX, "index"),
    "reputation": Topic(ReputationSnapshot, Merge.KEYED, VALIDATORS_MAX, "validator"),
    "slots": Topic(SlotSnapshot, Merge.KEYED, SLOTS_MAX, "sequence"),
    "status": Topic(WatchedStatusSnapshot, Merge.WHOLE, 1),
    "storage": Topic(StorageSnapshot, Merge.WHOLE, 1),
    "validators": Topic(ValidatorSnapshot, Merge.WHOLE, VALIDATORS_MAX),
    "vertices": Topic(VertexSnapshot, Merge.KEYED, VERTICES_MAX, "hash"),
    "views": Topic(ViewChangeSnapshot, Merge.KEYED, VIEW_CHANGES_MAX, "number"),
    "violations": Topic(ViolationSnapshot, Merge.ADDED, RECORDS_MAX),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Rows by topic; None: nothing of the topic. Rows of KEYED and ADDED are the oldest first."""

    alerts: tuple[AlertSnapshot, ...] | None = None
    bans: tuple[BanSnapshot, ...] | None = None
    evidence: tuple[EvidenceSnapshot, ...] | None = None
    families: tuple[FamilySnapshot, ...] | None = None
    log: tuple[LogSnapshot, ...] | None = None
    peers: tuple[WatchedPeerSnapshot, ...] | None = None
    reputation: tuple[ReputationSnapshot, ...] | None = None
    slots: tuple[SlotSnapshot, ...] | None = None
    status: tuple[WatchedStatusSnapshot, ...] | None = None
    storage: tuple[StorageSnapshot, ...] | None = None
    validators: tuple[ValidatorSnapshot, ...] | None = None
    vertices: tuple[VertexSnapshot, ...] | None = None
    views: tuple[ViewChangeSnapshot, ...] | None = None
    violations: tuple[ViolationSnapshot, ...] | None = None


assert tuple(TOPICS) == tuple(field.name for field in fields(Changes))
NOTHING: Final = Changes()


def topics_untrusted(text: str) -> frozenset[str]:
    """Return the topics of a watch: names with blanks between; all of them when there is none.

    Raises: MalformedMessage.
    """
    wanted = frozenset(text.split())
    unknown = sorted(wanted - TOPICS.keys())
    if unknown:
        raise MalformedMessage(
            f"there is no topic {', '.join(unknown)}; known are {', '.join(TOPICS)}"
        )
    return wanted or frozenset(TOPICS)


def delta_of(changes: Changes, *, at_ms: int, fresh: bool) -> Delta:
    """Return the delta that tells `changes`."""
    topics: dict[str, Value] = {}
    for name, topic in TOPICS.items():
        rows = _rows(changes, name)
        if rows is not None:
            topics[name] = table_value(topic.kind, rows)
    return Delta(at_ms=at_ms, fresh=fresh, topics=topics)


def changes_untrusted(delta: Delta) -> Changes:
    """Return what a delta tells, of each topic the newest rows; unknown topics are passed over.

    Raises: MalformedMessage.
    """
    found: dict[str, tuple[DataclassInstance, ...]] = {}
    for name, value in delta.topics.items():
        topic = TOPICS.get(name)
        if topic is None:
            continue
        found[name] = table_untrusted(topic.kind, value)[-topic.rows_max :]
    return replace(NOTHING, **found)  # type: ignore[arg-type]  # each by the kind of its topic


def merged(known: Changes, changes: Changes, *, fresh: bool) -> Changes:
    """Return what is known after a delta: of each topic at most its `rows_max` newest rows."""
    if fresh:
        return changes
    found: dict[str, tuple[DataclassInstance, ...]] = {}
    for name, topic in TOPICS.items():
        rows, old = _rows(changes, name), _rows(known, name)
        if rows is None:
            continue
        match topic.merge:
            case Merge.WHOLE:
                found[name] = rows
            case Merge.ADDED:
                found[name] = (*(old or ()), *rows)[-topic.rows_max :]
            case Merge.KEYED:
                found[name] = _keyed(topic, (*(old or ()), *rows))
    return replace(known, **found) if found else known  # type: ignore[arg-type]


def _keyed(topic: Topic, rows: "Iterable[DataclassInstance]") -> "tuple[DataclassInstance, ...]":
    """Return one row for each key, the last one, where the first one stood."""
    by_key = {getattr(row, topic.key): row for row in rows}
    return tuple(by_key.values())[-topic.rows_max :]


def _rows(changes: Changes, name: str) -> "tuple[DataclassInstance, ...] | None":
    return cast("tuple[DataclassInstance, ...] | None", getattr(changes, name))
