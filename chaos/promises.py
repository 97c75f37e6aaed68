"""Promises, each with whether it was kept and what was found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from chaos.evidence import Testimony
from chaos.load import Load
from chaos.order import Order, shown
from chaos.said import Said


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise after the fact."""

    name: str
    kept: bool
    found: str


@dataclass(slots=True)
class Promises:
    """In the order in which they were checked."""

    checked: list[Promise] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """True when something was checked, and all of it was kept."""
        return bool(self.checked) and all(promise.kept for promise in self.checked)

    def check(self, name: str, found: str, *, kept: bool) -> None:
        """Note a promise."""
        self.checked.append(Promise(name, kept, found))

    def adopt(self, part: "Promises", name: str) -> None:
        """Note the promises of a part: one line when all were kept, and every broken one."""
        broken = [promise for promise in part.checked if not promise.kept]
        self.check(name, f"{len(part.checked)} promises", kept=part.kept)
        for promise in broken:
            self.check(f"{name}: {promise.name}", promise.found, kept=False)

    def check_order(self, order: Order, nodes: int) -> None:
        """One order everywhere, and nothing in it twice."""
        self.check(
            "every node has the same order",
            shown(order.differences)
            or f"{order.last} sequences, {sum(order.counts)} transactions on {nodes} nodes, "
            "hash by hash",
            kept=not order.differences and order.last > 0,
        )
        self.check(
            "no transaction is there twice",
            shown(order.repeated) or f"{len(order.sequence_of)} different ones",
            kept=not order.repeated,
        )

    def check_load(self, load: Load, order: Order) -> None:
        """What was acknowledged is there, and what was accepted became final."""
        wrong = order.lacks(load.acknowledged)
        acknowledged = sum(len(batch.transactions) for batch in load.acknowledged)
        self.check(
            "everything acknowledged as final is there, where it was acknowledged",
            shown(wrong) or f"{acknowledged} transactions",
            kept=not wrong and acknowledged > 0,
        )
        left = load.unfinished + load.timings.failed
        self.check(
            "everything accepted became final",
            shown(left) or f"{load.moved} times another node was asked",
            kept=not left,
        )

    def check_said(self, said: Sequence[Said]) -> None:
        """What each node wrote down before it said it."""
        wrong = [each for node in said for each in node.contradictions]
        count = sum(len(node.promises) for node in said)
        self.check(
            "no node contradicts what it said before",
            shown(wrong) or f"{count} promises in {len(said)} vote journals, over all lives",
            kept=not wrong and count > 0,
        )

    def check_testimony(self, testimony: Sequence[Testimony], counted: Sequence[str]) -> None:
        """No node accused another, in its log or by what it `counted`, and no log shows a bug."""
        accusations = [each for node in testimony for each in node.accusations] + list(counted)
        self.check(
            "no node accuses another",
            shown(accusations) or f"nothing in logs and metrics of {len(testimony)} nodes",
            kept=not accusations,
        )
        self.check_logs(testimony)

    def check_logs(self, testimony: Sequence[Testimony]) -> None:
        """No log shows a bug."""
        stray = [each for node in testimony for each in node.stray]
        warnings = Counter[str]()
        for node in testimony:
            warnings.update(node.warnings)
        self.check(
            "logs hold neither tracebacks nor warnings of Python",
            shown(stray)
            or ("warnings: " + ", ".join(f"{n} {event}" for event, n in sorted(warnings.items())))
            if warnings or stray
            else "no warning at all",
            kept=not stray,
        )
