"""What a node that is behind says of its way. SPEC C9."""

from cretonode.core.dedup import Dedup
from cretonode.node.batcher import Batcher
from cretonode.node.finality import Finality
from cretonode.node.progress import Progress
from tests.core.catching_up import CHAIN, Network, behind, headers
from tests.core.replicas import committed


def progress(gap: int) -> tuple[Progress, Network]:
    tested, _ = behind(0, 2, 3, gap=gap)
    batcher = Batcher(
        executed=Dedup(window=8),
        wake=lambda: None,
        pending_max=10,
        interval_ms=1,
        transactions_max=10,
    )
    return Progress(tested.replica, Finality(batcher)), Network(tested)


def test_a_node_that_is_level_says_nothing() -> None:
    shown, network = progress(20)
    network.tested.hear(headers(1, 20), sender=0)
    network.tested.hear(*[m for slot in CHAIN[:20] for m in slot], sender=0)
    shown.sample(1.0)
    assert shown.describe() == ""
    assert shown.rates() is None


def test_rate_and_remaining_time_are_those_of_the_last_seconds() -> None:
    shown, network = progress(200)
    tested = network.tested
    shown.sample(10.0)
    assert shown.describe() == "catching up: 200 sequences behind"
    tested.hear(headers(1, 64), sender=0)
    tested.hear(*[m for slot in CHAIN[:50] for m in slot], sender=0)
    shown.sample(12.0)
    rates = shown.rates()
    assert rates is not None
    assert rates.sequences_per_s == 25
    assert rates.remaining_s == 150 / 25
    assert rates.megabytes_per_s > 0
    assert shown.describe().startswith("catching up: 150 sequences behind, 25 sequences/s, ")
    assert shown.describe().endswith("about 6 s left")


def test_a_chain_that_grows_faster_is_not_said_to_be_reached() -> None:
    shown, network = progress(100)
    shown.sample(10.0)
    network.tested.hear(committed(0, CHAIN[199][-1]))
    shown.sample(11.0)
    rates = shown.rates()
    assert rates is not None
    assert rates.remaining_s is None
    assert "not getting nearer" in shown.describe()
