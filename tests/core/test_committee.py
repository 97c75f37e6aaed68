"""Quorum arithmetic and the rules on genesis parameters. SPEC C2."""

import pytest

from cretonode.core.committee import Committee, Parameters, faults_of, quorum_of
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ConfigError
from cretonode.identifiers import ChainId, Incarnation, SequenceNumber, ValidatorIndex, View
from cretonode.limits import VALIDATORS_MAX
from tests.core.replicas import GENESIS, committee_of


def made(size: int, parameters: Parameters) -> Committee:
    return Committee(
        chain_id=ChainId("tests"),
        size=size,
        genesis=GENESIS,
        validator_set=hash_of(b"validators"),
        parameters=parameters,
        incarnations=(Incarnation(0),) * size,
    )


@pytest.mark.parametrize(
    ("size", "quorum", "faults"),
    [(3, 2, 0), (4, 3, 1), (7, 5, 2), (15, 10, 4), (31, 21, 10), (63, 42, 20), (127, 85, 42)],
    ids=["n=3", "n=4", "n=7", "n=15", "n=31", "n=63", "n=127"],
)
def test_the_table_of_the_specification(size: int, quorum: int, faults: int) -> None:
    """SPEC C2."""
    assert quorum_of(size) == quorum
    assert faults_of(size) == faults


@pytest.mark.parametrize("size", range(1, VALIDATORS_MAX + 1))
def test_two_quorums_share_an_honest_validator_and_the_honest_make_one(size: int) -> None:
    """SPEC C2: 2q - n > f, and f silent validators do not stop finality."""
    committee = made(size, Parameters())
    assert 2 * committee.quorum - size > committee.faults
    assert committee.quorum <= size - committee.faults
    assert committee.quorum >= -(-(size + committee.faults + 1) // 2), "q = ceil((n+f+1)/2)"


@pytest.mark.parametrize(
    ("size", "threshold", "quorum"),
    [(4, 0.67, 3), (4, 0.75, 3), (100, 0.67, 67), (10, 0.7, 7), (6, 0.84, 5), (3, 0.67, 2)],
    ids=["default", "no more", "a whole product", "decimal", "raised", "never lowered"],
)
def test_a_threshold_may_only_raise_the_quorum(size: int, threshold: float, quorum: int) -> None:
    """SPEC C2: q = max(ceil((n+f+1)/2), floor(threshold * n))."""
    assert quorum_of(size, threshold) == quorum


@pytest.mark.parametrize(
    ("size", "parameters", "sentence"),
    [
        (0, Parameters(), "0 validators; expected 1 to 128"),
        (129, Parameters(), "129 validators; expected 1 to 128"),
        (4, Parameters(quorum_threshold=0.6), "quorum_threshold is 0.6; expected 2/3 to 1"),
        (4, Parameters(quorum_threshold=1.1), "quorum_threshold is 1.1; expected 2/3 to 1"),
        (
            4,
            Parameters(quorum_threshold=1.0),
            "quorum_threshold 1.0 asks for 4 of 4 votes; then 1 silent validators stop finality",
        ),
        (7, Parameters(quorum_threshold=0.9), "asks for 6 of 7 votes"),
        (4, Parameters(checkpoint_interval=1), "checkpoint_interval is 1; expected 2 to 2048"),
        (4, Parameters(window=64), "window is 64; expected a multiple of checkpoint_interval"),
        (4, Parameters(window=130), "window is 130; expected a multiple of checkpoint_interval"),
        (4, Parameters(dedup_window=255), "dedup_window is 255; expected 256"),
        (4, Parameters(dedup_window=65_537), "dedup_window is 65537; expected 256"),
    ],
)
def test_parameters_that_break_a_rule_are_a_configuration_error(
    size: int, parameters: Parameters, sentence: str
) -> None:
    """SPEC C2: a differing or impossible genesis refuses to start, and says why."""
    with pytest.raises(ConfigError) as caught:
        made(size, parameters)
    assert sentence in str(caught.value)


def test_every_problem_is_named_at_once() -> None:
    """House style 24."""
    broken = Parameters(quorum_threshold=0.5, checkpoint_interval=0, dedup_window=1)
    assert len(broken.problems(4)) == 3


def test_the_leader_of_a_view_is_validator_view_mod_n() -> None:
    """PBFT 4."""
    committee = committee_of(4)
    leaders = [committee.leader_of(View(v)) for v in range(6)]
    assert leaders == [ValidatorIndex(v) for v in (0, 1, 2, 3, 0, 1)]


@pytest.mark.parametrize(
    ("low", "base", "high"),
    [(0, 0, 8), (4, 6, 12), (4, 12, 13), (4, 11, 12)],
    ids=["at the start", "the window", "the base at its end", "the base just below"],
)
def test_the_window_never_forbids_the_sequence_after_the_base(
    low: int, base: int, high: int
) -> None:
    """DESIGN 2, Phases: in flight low < s <= max(low + W, base + 1); without the second term W
    prepared and uncommitted anchors and one crash stall forever."""
    committee = committee_of(4, window=8)
    assert committee.high_watermark(SequenceNumber(low), SequenceNumber(base)) == high
