"""What changed since one client, or the history, was told last.

Nothing is queued: each watcher remembers how far it is, and what it tells is worked out when it is
asked. Satisfies `operator.watching.Watcher`. Source: docs/operator-socket.md, section 6.
"""

from collections import deque
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from operator import attrgetter
from typing import Final, TypeVar

from cretonode.identifiers import ValidatorIndex
from cretonode.node.alerts import Alerts
from cretonode.node.driver import Driver
from cretonode.node.judgement_views import JudgementViews
from cretonode.node.phase import waiting_of
from cretonode.node.service import Service
from cretonode.node.standstill import clocks_off
from cretonode.node.steering import Steering
from cretonode.node.storage_gauge import Sample, StorageGauge, percentile
from cretonode.observability.process import cpu_seconds, resident_bytes
from cretonode.observability.recent_lines import RECENT
from cretonode.operator.protocol import (
    BanSnapshot,
    Delta,
    EvidenceSnapshot,
    ReputationSnapshot,
    ViolationSnapshot,
)
from cretonode.operator.protocol_deltas import NOTHING, VERTICES_MAX, Changes, delta_of
from cretonode.operator.protocol_fields import widened
from cretonode.operator.protocol_topics import (
    AlertSnapshot,
    LogSnapshot,
    SlotSnapshot,
    ValidatorSnapshot,
    VertexSnapshot,
    ViewChangeSnapshot,
    WatchedPeerSnapshot,
    WatchedStatusSnapshot,
)

ALIVE_MS: Final = 1_000  # a delta comes at least so often
JUDGED_MS: Final = 500  # between looks at bans and scores
VERTICES_MS: Final = 500  # between looks at vertices: most are final at the second
MEASURED_MS: Final = 1_000  # between looks at what takes long to find out
LATENCIES_JUDGED: Final = 256
LINES_A_DELTA: Final = 100  # and as many violations; what is left comes with the next one
VERTEX_BYTES_A_DELTA: Final = 128 * 1024
ERROR_CHARACTERS_MAX: Final = 200
RESTLESS: Final = {"uptime_ms", "cpu_seconds", "resident_bytes", "queue"}  # fields of the status
LASTING: Final = attrgetter(
    *(each.name for each in fields(WatchedStatusSnapshot) if each.name not in RESTLESS)
)


@dataclass(slots=True)
class Measured:
    """What takes long to find out, for all who watch."""

    finality_p50_ms: int | None = None
    finality_p99_ms: int | None = None
    resident_bytes: int = 0
    _at_ms: int | None = None

    def at(self, now_ms: int, latencies_ms: deque[int]) -> "Measured":
        """Return what was measured less than MEASURED_MS ago."""
        if self._at_ms is None or now_ms - self._at_ms >= MEASURED_MS:
            self._at_ms = now_ms
            newest = list(islice(reversed(latencies_ms), LATENCIES_JUDGED))
            self.finality_p50_ms = percentile(newest, 50)
            self.finality_p99_ms = percentile(newest, 99)
            self.resident_bytes = resident_bytes()
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSource:
    """The parts of the node that watchers read."""

    service: Service
    driver: Driver
    gauge: StorageGauge
    steering: Steering
    alerts: Alerts = field(default_factory=Alerts)
    measured: Measured = field(default_factory=Measured)

    def watcher(self, topics: frozenset[str]) -> "NodeWatcher":
        """Return a watcher for one client."""
        return NodeWatcher(self, topics)

    @property
    def names(self) -> tuple[str, ...]:
        """What genesis calls the validators."""
        return self.service.genesis.names


Row = TypeVar("Row")


class NodeWatcher:
    """Tells one client what changed. `alive_ms`: what moves all the time is told so often."""

    def __init__(
        self, source: WatchSource, topics: frozenset[str], *, alive_ms: int = ALIVE_MS
    ) -> None:
        self._source = source
        self._topics = topics
        self._alive_ms = alive_ms
        self._told_ms: int | None = None  # when a delta was told last; None: never
        self._looked_ms: dict[str, int] = {}  # by topic, when it was looked at
        self._known: dict[str, object] = {}  # by topic, what was told last; see each topic
        self._at: dict[str, int] = dict.fromkeys(
            ("slots", "views", "vertices", "log", "violations", "storage"), 0
        )

    async def delta(self) -> Delta | None:
        """Return what changed since the last one; the first tells everything. None: nothing did."""
        source = self._source
        sample = None
        if self._topics & {"storage", "families", "alerts"}:
            sample = await source.gauge.sample()
        # From here on nothing else runs: what is told is the state of one moment.
        now_ms = source.service.clock.now_ms()
        changes = self._changes(now_ms, sample)
        quiet = self._told_ms is not None and now_ms - self._told_ms < self._alive_ms
        if quiet and changes == NOTHING:
            return None
        fresh = self._told_ms is None
        self._told_ms = now_ms
        return delta_of(changes, at_ms=now_ms, fresh=fresh)

    def _changes(self, now_ms: int, sample: Sample | None) -> Changes:
        wanted = self._topics
        judged = self._is_due("judged", now_ms, JUDGED_MS)
        stored = self._storage_news(sample, now_ms)
        status = self._status() if wanted & {"status", "alerts"} else None
        return Changes(
            alerts=self._alerts(status, sample, now_ms) if status and "alerts" in wanted else None,
            bans=self._bans() if "bans" in wanted and judged else None,
            evidence=self._evidence() if "evidence" in wanted and judged else None,
            families=stored.families if stored and "families" in wanted else None,
            log=self._log() if "log" in wanted else None,
            peers=self._peers(now_ms) if "peers" in wanted else None,
            reputation=self._reputation(now_ms) if "reputation" in wanted else None,
            slots=self._slots() if "slots" in wanted else None,
            status=self._status_news(status, now_ms) if status and "status" in wanted else None,
            storage=(stored.storage,) if stored and "storage" in wanted else None,
            validators=self._validators() if "validators" in wanted else None,
            vertices=self._vertices(now_ms) if "vertices" in wanted else None,
            views=self._views() if "views" in wanted else None,
            violations=self._violations() if "violations" in wanted else None,
        )

    # --- where it stands

    def _storage_news(self, sample: Sample | None, now_ms: int) -> Sample | None:
        """Return a sample that was not told yet, when it is time for one."""
        if sample is None or sample.number == self._at["storage"]:
            return None
        if not self._is_due("storage", now_ms, self._alive_ms):
            return None
        self._at["storage"] = sample.number
        return sample

    def _alerts(
        self, status: WatchedStatusSnapshot, sample: Sample | None, now_ms: int
    ) -> tuple[AlertSnapshot, ...] | None:
        source = self._source
        storage = sample.storage if sample is not None else None
        silent_ms = source.gauge.silent_ms
        clocks = clocks_off(source.driver.replica, source.names, now_ms)
        found = source.alerts.current(
            status, storage, silent_ms, source.names, now_ms, clocks=clocks
        )
        return found if self._is_news("alerts", found) else None

    def _status_news(
        self, status: WatchedStatusSnapshot, now_ms: int
    ) -> tuple[WatchedStatusSnapshot, ...] | None:
        """Return the status when it changed; what always changes counts only now and then."""
        if self._is_news("status", LASTING(status)) or self._is_due(
            "status", now_ms, self._alive_ms
        ):
            self._looked_ms["status"] = now_ms
            return (status,)
        return None

    def _status(self) -> WatchedStatusSnapshot:
        service, driver = self._source.service, self._source.driver
        replica, finality, slots = driver.replica, driver.finality, driver.chronicle.slots
        state = replica.state
        waiting = waiting_of(replica)
        size = state.committee.size
        heard = {state.me, *state.connected}
        measured = self._source.measured.at(service.clock.now_ms(), finality.latencies_ms)
        return widened(
            WatchedStatusSnapshot,
            service.status(),
            phase=waiting.phase.value,
            awaits=waiting.marks(size),
            votes_lacking=waiting.lacking,
            lacking=service.quorum_lacking() or self._unheard(heard),
            absent=bytes(index not in heard for index in range(size)),
            finality_p50_ms=measured.finality_p50_ms,
            finality_p99_ms=measured.finality_p99_ms,
            final_at_ms=slots.final_at_ms,
            waiting_since_ms=replica.intake.oldest_ms(),
            waiting_vertices=len(state.graph.admitted),
            orphans=len(state.graph.orphans),
            executed_vertices=state.log.size,
            behind=max(0, replica.catch_up.target - state.final),
            participation=driver.counts.participation,
            views_entered=driver.counts.views_entered,
            queue=len(driver.inbox),
            cpu_seconds=cpu_seconds(),
            resident_bytes=measured.resident_bytes,
            log_level=self._source.steering.log_level,
            finality_timeout_ms=state.timing.finality_timeout_ms,
            view_change_timeout_ms=state.timing.view_change_timeout_ms,
        )

    def _unheard(self, heard: set[ValidatorIndex]) -> str:
        """Return which validators lack for a quorum by silence alone; empty with a quorum.

        A connection is given up much later than silence is noticed.
        """
        committee, names = self._source.driver.replica.state.committee, self._source.names
        lacking = committee.quorum - len(heard)
        if lacking <= 0:
            return ""
        silent = ", ".join(name for index, name in enumerate(names) if index not in heard)
        return (
            f"{len(heard)} of {committee.size} validators are heard, {committee.quorum} are "
            f"needed; silent: {silent}, of whom {lacking} must be heard again"
        )

    def _validators(self) -> tuple[ValidatorSnapshot, ...] | None:
        if not self._is_due("validators", 0, 1):
            return None  # they were told, and never change
        return tuple(
            ValidatorSnapshot(
                index=ValidatorIndex(index),
                name=validator.name,
                node_id=validator.public_key.node_id,
                address=str(validator.address),
            )
            for index, validator in enumerate(self._source.service.genesis.validators)
        )

    # --- the others

    def _peers(self, now_ms: int) -> tuple[WatchedPeerSnapshot, ...] | None:
        """Return the peers every `alive_ms`, and at once when one came or went."""
        service = self._source.service
        standing = (tuple(service.links.connected()), tuple(self._source.driver.bans.in_force))
        moved = self._is_news("peers", standing)
        if not moved and not self._is_due("peers", now_ms, self._alive_ms):
            return None
        self._looked_ms["peers"] = now_ms
        found = []
        for status, view in zip(service.peer_links.status(), service.peers(), strict=True):
            direction = {True: "out", False: "in", None: ""}[status.dialled_by_us]
            found.append(
                widened(
                    WatchedPeerSnapshot,
                    replace(view, last_error=view.last_error[:ERROR_CHARACTERS_MAX]),
                    state=status.state.value,
                    state_ms=status.state_ms,
                    direction=direction,
                    path="direct" if view.connected else "",
                    version=service.links.channels[view.index].software,
                    inbound_bytes=status.inbound_bytes,
                    connections=status.connections,
                    failures=status.failures,
                )
            )
        return tuple(found)

    def _reputation(self, now_ms: int) -> tuple[ReputationSnapshot, ...] | None:
        """Return the validators whose score or counts changed."""
        if not self._is_due("reputation", now_ms, self._alive_ms):
            return None
        rows = tuple(widened(ReputationSnapshot, view) for view in self._judged.reputation())
        known = self._known.get("reputation", ())
        assert isinstance(known, tuple)
        self._known["reputation"] = rows
        return tuple(row for row in rows if row not in known) if rows != known else None

    def _bans(self) -> tuple[BanSnapshot, ...] | None:
        bans = tuple(widened(BanSnapshot, view) for view in self._judged.bans())
        return bans if self._is_news("bans", bans) else None

    def _evidence(self) -> tuple[EvidenceSnapshot, ...] | None:
        pieces = self._source.driver.bans.evidence
        if not self._is_news("evidence", sum(map(len, pieces.values()))):
            return None
        return tuple(widened(EvidenceSnapshot, view) for view in self._judged.evidence())

    def _violations(self) -> tuple[ViolationSnapshot, ...] | None:
        """Return those that came; the first time also what is kept of earlier runs."""
        bans = self._source.driver.bans
        total = sum(bans.reputation.counts.values())
        came = total - self._at["violations"]
        first = "violations" not in self._known
        if not came and not first:
            return None
        self._known["violations"] = None
        self._at["violations"] = total
        newest = bans.violations()[: LINES_A_DELTA if first else min(came, LINES_A_DELTA)]
        return tuple(
            ViolationSnapshot(
                at_ms=noted.at_ms,
                validator=noted.author,
                name=bans.names[noted.author],
                type=noted.violation.value,
                detail=noted.detail,
            )
            for noted in reversed(newest)
        )

    @property
    def _judged(self) -> JudgementViews:
        return self._source.service.judged

    # --- what happened

    def _slots(self) -> tuple[SlotSnapshot, ...] | None:
        book = self._source.driver.chronicle.slots
        found = tuple(book.changed(self._at["slots"]))
        self._at["slots"] = book.number
        return self._unless_nothing("slots", found)

    def _views(self) -> tuple[ViewChangeSnapshot, ...] | None:
        book = self._source.driver.chronicle.views
        found = tuple(book.changed(self._at["views"]))
        self._at["views"] = book.number
        return self._unless_nothing("views", found)

    def _vertices(self, now_ms: int) -> tuple[VertexSnapshot, ...] | None:
        """Return the oldest changes, up to a number of bytes."""
        if not self._is_due("vertices", now_ms, VERTICES_MS):
            return None
        book = self._source.driver.chronicle.vertices
        book.refresh()
        found: list[VertexSnapshot] = []
        bytes_left = VERTEX_BYTES_A_DELTA
        for number, vertex in book.changed(self._at["vertices"]):
            bytes_left -= 128 + len(vertex.parents) + len(vertex.missing)
            if found and (bytes_left < 0 or len(found) == VERTICES_MAX):
                break
            found.append(vertex)
            self._at["vertices"] = number
        return self._unless_nothing("vertices", tuple(found))

    def _log(self) -> tuple[LogSnapshot, ...] | None:
        lines = RECENT.after(self._at["log"], LINES_A_DELTA)
        if lines:
            self._at["log"] = lines[-1].number
        return self._unless_nothing("log", tuple(LogSnapshot(**line._asdict()) for line in lines))

    # --- what is news

    def _is_due(self, topic: str, now_ms: int, every_ms: int) -> bool:
        """True when `topic` was not looked at for so long; notes that it is now."""
        looked_ms = self._looked_ms.get(topic)
        if looked_ms is not None and now_ms - looked_ms < every_ms:
            return False
        self._looked_ms[topic] = now_ms
        return True

    def _is_news(self, topic: str, value: object) -> bool:
        """True when `value` is not what was told last; notes that it is told now."""
        if topic in self._known and self._known[topic] == value:
            return False
        self._known[topic] = value
        return True

    def _unless_nothing(self, topic: str, rows: tuple[Row, ...]) -> tuple[Row, ...] | None:
        """Return `rows`; None without any, but for the first time."""
        if not rows and topic in self._known:
            return None
        self._known[topic] = None
        return rows
