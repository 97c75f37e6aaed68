"""What a node says of itself: whether a quorum can vote. SPEC C10."""

from dataclasses import dataclass
from typing import cast

import pytest

from cretonode.errors import NotReady
from cretonode.identifiers import NodeId, ValidatorIndex
from cretonode.network.peers import Peers
from tests.node.test_old_view import make_driver
from tests.node.test_watcher import source_of

TOO_MANY = (
    "2 of 4 validators can vote, 3 are needed; lost their vote journals: node-2, node-3; at most 1 "
    "can find back at a time. Only a new incarnation of the network helps (`cretonode recover`)"
)
AMNESIACS = [(set[int](), ""), ({3}, ""), ({2, 3}, TOO_MANY)]


@pytest.mark.parametrize(("amnesiacs", "told"), AMNESIACS, ids=["none", "one", "two"])
async def test_validators_that_lost_their_journals_are_no_quorum(
    amnesiacs: set[int], told: str
) -> None:
    """They are connected, and silent: nobody else would say that nothing can become final."""
    driver = make_driver(0)
    service = source_of(driver).service
    for channel in driver.links.channels.values():
        channel.greeted = True
    state = driver.replica.state
    state.amnesiacs = {ValidatorIndex(each): state.now_ms for each in amnesiacs}
    assert service.quorum_lacking() == told
    assert service.status().reason == told
    if told:
        with pytest.raises(NotReady, match="nothing was accepted"):
            await service.submit([b"one"])


async def test_one_that_lost_its_journal_beside_one_that_is_missing_is_told_with_it() -> None:
    driver = make_driver(0)
    service = source_of(driver).service
    for peer, channel in driver.links.channels.items():
        channel.greeted = peer != 3
    state = driver.replica.state
    state.amnesiacs = {ValidatorIndex(2): state.now_ms}
    assert service.quorum_lacking() == (
        "2 of 4 validators can vote, 3 are needed; lost their vote journals: node-2; missing: "
        "node-3"
    )


async def test_who_is_connected_and_silent_does_not_count_in_what_a_ban_would_leave() -> None:
    """The operator decides by that sentence: a peer that hangs will not vote."""
    driver = make_driver(0)
    service = source_of(driver).service
    for channel in driver.links.channels.values():
        channel.greeted = True
    node_ids = [validator.public_key.node_id for validator in service.genesis.validators]

    @dataclass
    class Status:
        peer: NodeId
        silence_ms: float | None

    class Doors:
        def status(self) -> list[Status]:
            silence_ms = (20.0, 1_001.0, 999.0)
            return [Status(*each) for each in zip(node_ids[1:], silence_ms, strict=True)]

    service.peer_links = cast("Peers", Doors())
    assert service.audible() == [1, 3]
    told = service.ban_add("one", reason="hangs", lasts_ms=None, dry_run=True)
    assert "this leaves 2 of 4 connected here: finality will stop" in told
