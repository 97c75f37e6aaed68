"""Recovery on the disk: what is proposed, promised, refused and entered.

Source: docs/spec/durability.md, section 11.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cretonode.core.messages import Signed
from cretonode.core.records import Promises
from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import JournalState, Plan, Proposal, make_plan
from cretonode.errors import BadSignature, ConfigError, MalformedMessage, StorageError
from cretonode.identifiers import Digest, Incarnation, SequenceNumber, ValidatorIndex
from cretonode.node.disk import open_disk
from cretonode.node.node import identify
from cretonode.node.recovery import (
    Applied,
    Checker,
    apply,
    open_stopped,
    propose,
    sign,
    survey,
)
from cretonode.storage import renewal
from cretonode.storage.store import Store
from tests.node.recoverable import Network, make_network
from tests.storage.crashes import CrashAfter


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Nodes 0 to 2 have five sequences final, node 3 has three."""
    network = make_network(tmp_path_factory.mktemp("recovery") / "net")
    for node, final in enumerate((5, 5, 5, 3)):
        network.fill(node, final)
    shutil.copytree(network.place, network.place.with_name("saved"))
    return network


@pytest.fixture
def network(made: Network) -> Network:
    """The same network, its disks as they were made."""
    shutil.rmtree(made.place)
    shutil.copytree(made.place.with_name("saved"), made.place)
    return made


def proposed(network: Network, *nodes: int) -> list[Proposal]:
    found = []
    for node in nodes:
        with open_stopped(network.configs[node]) as stopped:
            found.append(propose(stopped))
    return found


def planned(network: Network, *nodes: int) -> Plan:
    return make_plan(network.committee, proposed(network, *nodes))


def signed(network: Network, plan: Plan, *nodes: int) -> Recovery:
    votes: tuple[Signed, ...] = ()
    for node in nodes:
        with open_stopped(network.configs[node]) as stopped:
            votes += sign(stopped, plan).votes
    return replace(plan.recovery, votes=votes)


def applied(network: Network, recovery: Recovery, node: int) -> Applied:
    with open_stopped(network.configs[node]) as stopped:
        return apply(stopped, (recovery,))


async def opened(network: Network, node: int) -> tuple[int, Promises]:
    """Return the incarnation and the promises with which a node would start."""
    who = identify(network.configs[node])
    config = network.configs[node]
    async with open_disk(config, who.committee, who.me, who.secret.node_id) as disk:
        return max(disk.committee.incarnations), disk.take_restored().promises


def journal_of(network: Network, node: int) -> Path:
    return Path(network.configs[node].node.data_dir) / "journal"


# --- proposing


def test_a_proposal_says_what_is_on_the_disk_and_proves_it(network: Network) -> None:
    network.fill(1, 0, high=6)
    found = proposed(network, 0, 1, 3)
    for proposal in found:
        Checker.of(network.genesis).check_proposal(proposal)
    assert [p.final for p in found] == [5, 5, 3]
    assert [p.certified for p in found] == [5, 5, 3]
    assert [p.checkpoint.sequence if p.checkpoint else 0 for p in found] == [4, 4, 0]
    assert [p.journal for p in found] == ["empty", "whole", "empty"]
    high = found[1].high
    assert high is not None
    assert high.sequence == 6


@pytest.mark.parametrize("damage", [shutil.rmtree, lambda j: (j / "birth").unlink()])
def test_a_lost_journal_is_told_and_left_alone(
    network: Network, damage: Callable[[Path], object]
) -> None:
    journal = journal_of(network, 0)
    damage(journal)
    left = sorted(path.name for path in journal.parent.rglob("*segment*"))
    assert proposed(network, 0)[0].journal is JournalState.LOST
    assert sorted(path.name for path in journal.parent.rglob("*segment*")) == left


def test_anchors_that_are_not_final_are_proposed_when_all_they_stand_on_is_here(
    network: Network,
) -> None:
    network.store(0, 6, 8)  # 8 stands on 7, which is not here
    assert [vertex.sequence for vertex in proposed(network, 0)[0].anchors] == [5, 6]


def test_what_was_prepared_above_is_planned_and_signed(network: Network) -> None:
    network.store(1, 6)
    network.fill(2, 0, high=6)
    plan = planned(network, 0, 1, 2)
    assert (plan.recovery.final, plan.recovery.base) == (5, 6)
    recovery = signed(network, plan, 0, 1, 2)
    assert applied(network, recovery, 0).is_new


LIES: dict[str, tuple[Callable[[Proposal], Proposal], str]] = {
    "another signature": (
        lambda p: replace(p, signature=bytes(len(p.signature))),
        "did not sign the proposal",
    ),
    "more final": (lambda p: replace(p, final=SequenceNumber(9)), "did not sign the proposal"),
    "another author": (lambda p: replace(p, author=ValidatorIndex(1)), "did not sign"),
    "an unknown author": (lambda p: replace(p, author=ValidatorIndex(9)), "there are 4"),
}


@pytest.mark.parametrize(("lie", "sentence"), LIES.values(), ids=LIES.keys())
def test_a_proposal_that_was_changed_is_refused(
    network: Network, lie: Callable[[Proposal], Proposal], sentence: str
) -> None:
    with pytest.raises((BadSignature, MalformedMessage), match=sentence):
        Checker.of(network.genesis).check_proposal(lie(proposed(network, 0)[0]))


# --- signing


async def test_who_has_signed_says_nothing_more_until_it_is_applied(network: Network) -> None:
    """Else what becomes final after the signature could be missing in the recovery."""
    recovery = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    with pytest.raises(ConfigError, match=r"has signed a recovery to incarnation 1.*say nothing"):
        await opened(network, 0)
    assert applied(network, recovery, 0) == Applied(
        Incarnation(1),
        is_new=True,
        is_amnesiac=False,
        kept=journal_of(network, 0).with_name("journal.before-recovery-1"),
    )
    incarnation, promises = await opened(network, 0)
    assert incarnation == 1
    assert (promises.amnesia, promises.view, promises.high) == (None, 0, None)
    assert promises.stable is not None
    assert promises.stable.sequence == 4


def test_only_who_takes_part_signs(network: Network) -> None:
    plan = planned(network, 0, 1, 2)
    with pytest.raises(ConfigError, match="without this node's proposal"):
        signed(network, plan, 3)


def test_who_went_on_since_its_proposal_does_not_sign(network: Network) -> None:
    """It may have voted meanwhile, so the plan may lack what became final by that vote."""
    plan = planned(network, 0, 1, 2)
    network.fill(1, 0, high=6)
    with pytest.raises(ConfigError, match=r"has changed since its proposal"):
        signed(network, plan, 1)


def test_a_validator_signs_one_plan_of_a_number_and_the_next_plan_has_another(
    network: Network,
) -> None:
    first = planned(network, 0, 1, 2)
    others = planned(network, 0, 2, 3)
    other = replace(others, recovery=replace(others.recovery, digest=Digest(b"x" * 32)))
    recovery = signed(network, first, 0)
    assert signed(network, first, 0) == recovery, "the same plan may be signed again"
    with pytest.raises(ConfigError, match="another recovery to incarnation 1"):
        signed(network, other, 0)
    assert planned(network, 0, 1, 2).recovery.incarnation == 2


def test_a_recovery_of_too_few_or_of_nobody_is_refused(network: Network) -> None:
    recovery = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    checker = Checker.of(network.genesis)
    assert checker.committee_after((recovery,)).recoveries == (recovery,)
    few = replace(recovery, votes=recovery.votes[:2])
    twice = replace(recovery, votes=(*recovery.votes[:2], recovery.votes[1]))
    forged = replace(recovery, base=SequenceNumber(9))
    for bad in (few, twice, forged, replace(recovery, incarnation=Incarnation(0))):
        with pytest.raises((MalformedMessage, BadSignature)):
            checker.committee_after((bad,))


# --- applying


async def test_who_is_behind_applies_and_who_did_not_sign_is_an_amnesiac(network: Network) -> None:
    """It may have lost its disk since, and with it what it said in the new incarnation."""
    recovery = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    assert applied(network, recovery, 3).is_amnesiac
    incarnation, promises = await opened(network, 3)
    assert incarnation == 1
    assert promises.amnesia is not None


async def test_applying_twice_changes_nothing_and_forgives_no_lost_journal(
    network: Network,
) -> None:
    recovery = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    applied(network, recovery, 0)
    shutil.rmtree(journal_of(network, 0))
    assert not applied(network, recovery, 0).is_new
    _, promises = await opened(network, 0)
    assert promises.amnesia is not None, "lost in the new incarnation: amnesia as ever"


async def test_an_old_database_beside_a_journal_of_the_new_incarnation_makes_an_amnesiac(
    network: Network,
) -> None:
    """A copy from between signing and applying promises what was kept long ago."""
    recovery = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    database = Path(network.configs[0].storage.path)
    shutil.copytree(database, database.with_name("copy"))
    applied(network, recovery, 0)
    shutil.rmtree(database)
    database.with_name("copy").rename(database)
    assert applied(network, recovery, 0).is_amnesiac
    _, promises = await opened(network, 0)
    assert promises.amnesia is not None


def test_who_has_more_final_is_refused_and_told_what(network: Network) -> None:
    """A fork by recovery is never silent."""
    third = network.anchors[2].vertex
    behind = replace(
        planned(network, 0, 1, 2).recovery,
        final=third.sequence,
        final_anchor=third.hash,
        base=third.sequence,
        base_anchor=third.hash,
    )
    with open_stopped(network.configs[2]) as stopped:
        before = survey(stopped)
        with pytest.raises(ConfigError, match=r"sequences 4 to 5, 6 transactions.*Nothing was"):
            apply(stopped, (behind,))
        assert survey(stopped) == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"final_anchor": bytes(32)}, r"sequence 5 is final here with anchor .* a fork"),
        ({"checkpoint": SequenceNumber(4), "digest": bytes(32)}, r"to another log root"),
    ],
    ids=["another anchor", "another log root"],
)
def test_another_chain_is_refused(
    network: Network, change: dict[str, object], sentence: str
) -> None:
    plan = planned(network, 0, 1, 2)
    with open_stopped(network.configs[0]) as stopped:
        with pytest.raises(ConfigError, match=sentence):
            apply(stopped, (replace(plan.recovery, **change),))  # type: ignore[arg-type]
        assert stopped.store.recoveries() == ()


async def test_a_plan_that_was_given_up_cannot_be_applied_after_another_was_signed(
    network: Network,
) -> None:
    """Votes in either of the two would contradict the promise to the other."""
    first = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    second = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    assert (first.incarnation, second.incarnation) == (1, 2)
    with pytest.raises(ConfigError, match="signed another recovery, to incarnation 2"):
        applied(network, first, 0)
    applied(network, second, 0)
    assert (await opened(network, 0))[0] == 2
    with pytest.raises(ConfigError, match="does not stand on"):
        applied(network, first, 0)


@pytest.mark.parametrize("step", range(5))
async def test_a_crash_while_applying_leaves_the_old_incarnation_or_the_new_one(
    network: Network, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step ends with a sync of the directory or of the database; the crash comes after it."""
    recovery = signed(network, planned(network, 0, 1, 2), 0, 1, 2)
    crash_after = CrashAfter(step)
    with monkeypatch.context() as killing:
        killing.setattr(renewal, "sync_directory", crash_after(renewal.sync_directory))
        killing.setattr(Store, "put_recoveries", crash_after(Store.put_recoveries))
        try:
            applied(network, recovery, 0)
            killed = False
        except (InterruptedError, StorageError):
            killed = True
    assert killed == (step < 3), "three steps"
    if step == 0:
        with pytest.raises(ConfigError, match="has signed a recovery"):
            await opened(network, 0)
        applied(network, recovery, 0)
    incarnation, promises = await opened(network, 0)
    assert (incarnation, promises.amnesia) == (1, None)
    assert not applied(network, recovery, 0).is_new
