"""What a node says of itself: whether a quorum can vote. SPEC C10."""

import pytest

from cretonode.errors import NotReady
from cretonode.identifiers import ValidatorIndex
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
