"""What a node has said in all its lives, by its vote journal: does any of it contradict the rest?

Stronger than waiting for an accusation: peers drop what comes for a view they have left, so a
contradiction may reach nobody. A second reading of the rules, apart from the node's own fold.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, assert_never

from chaos.watch import Overdue
from cretonode.cli.layout import NodeFiles
from cretonode.core.records import (
    Accepted,
    AmnesiaBegun,
    AmnesiaEnded,
    BaseAdopted,
    HighCertificate,
    OwnVertex,
    Record,
    SaidCheckpoint,
    SaidNewView,
    SaidViewChange,
    StableCheckpoint,
    ViewEntered,
)
from cretonode.errors import StorageError
from cretonode.storage.birth import decode_birth
from cretonode.storage.journal import BIRTH_FILE, SEGMENT_PREFIX
from cretonode.storage.segment import read_segment
from cretonode.wire.records import decode_record

ATTEMPTS_MAX: Final = 5  # to read a journal that a living node writes to
PAUSE_S: Final = 0.05


@dataclass(slots=True)
class Said:
    """Every promise of one node that was read. A journal forgets at rotation, this does not."""

    name: str
    contradictions: list[str] = field(default_factory=list)
    promises: dict[tuple[str, int, int], object] = field(default_factory=dict)

    def read(self, files: NodeFiles) -> None:
        """Read the journal as it is now, also while its node lives. Blocks. Raises: Overdue."""
        for _ in range(ATTEMPTS_MAX):
            try:
                records = _records(files)
            except (OSError, StorageError) as error:  # it rotates, or a group is half written
                cause = error
                time.sleep(PAUSE_S)
            else:
                self.hear(records)
                return
        raise Overdue(f"reading the vote journal of {files.name}: {cause}")

    def hear(self, records: Iterable[Record]) -> None:
        """Hold the records of one journal, in order, against each other and all heard before."""
        view = 0
        rank: tuple[int, int] | None = None
        for record in records:
            match record:
                case ViewEntered(entered):
                    if entered <= view:
                        self._contradict(f"entered view {entered} after view {view}")
                    view = entered
                case Accepted(voted, sequence, anchor):
                    if voted < view:
                        self._contradict(f"voted in view {voted} after it had entered {view}")
                    self._promise("anchor of view and sequence", voted, sequence, anchor)
                case BaseAdopted(adopted, base):
                    self._promise("base of view", adopted, 0, base)
                case OwnVertex(index, vertex):
                    self._promise("own vertex", index, 0, vertex)
                case SaidViewChange(message):
                    self._promise("view-change", message.view, 0, message.high)
                case SaidNewView(message):
                    self._promise("new-view", message.view, 0, message.base)
                case SaidCheckpoint(sequence, digest):
                    self._promise("checkpoint", sequence, 0, digest)
                case HighCertificate(certificate):
                    if rank is not None and certificate.position.rank <= rank:
                        self._contradict(f"its high certificate fell to {certificate.position}")
                    rank = certificate.position.rank
                case StableCheckpoint() | AmnesiaBegun() | AmnesiaEnded():
                    pass
                case _:
                    assert_never(record)

    def _promise(self, kind: str, first: int, second: int, value: object) -> None:
        before = self.promises.setdefault((kind, first, second), value)
        if before != value:
            self._contradict(f"{kind} {first} {second}: {_text(before)}, then {_text(value)}")

    def _contradict(self, what: str) -> None:
        contradiction = f"{self.name}: {what}"
        if contradiction not in self.contradictions:  # a journal is read more than once
            self.contradictions.append(contradiction)


def _records(files: NodeFiles) -> list[Record]:
    journal = files.directory / "data" / "journal"
    birth = decode_birth((journal / BIRTH_FILE).read_bytes(), name=f"{journal}/{BIRTH_FILE}")
    newest = max(
        path for path in journal.iterdir() if path.name.removeprefix(SEGMENT_PREFIX).isdecimal()
    )
    contents = read_segment(newest.read_bytes(), name=str(newest), birth=birth.digest)
    return [decode_record(record) for group in contents.groups for record in group.records]


def _text(value: object) -> str:
    return value.hex()[:16] if isinstance(value, bytes) else str(value)
