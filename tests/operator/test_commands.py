import pytest

from cretonode.errors import ClientError
from cretonode.operator.commands import commands_of
from cretonode.operator.protocol import Request, peers_value, status_value
from tests.operator.examples import PEER_VIEWS, STATUS_VIEW, FakeNode

answer = commands_of(FakeNode())


async def test_each_command_has_its_answer() -> None:
    assert await answer(Request(id=1, command="status")) == status_value(STATUS_VIEW)
    assert await answer(Request(id=2, command="peers")) == peers_value(PEER_VIEWS)
    assert await answer(Request(id=3, command="ping")) is None


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            Request(id=1, command="dance"),
            "there is no command 'dance'; known are peers, ping, status",
        ),
        (Request(id=1, command="ping", arguments={"loud": True}), "ping takes no arguments"),
    ],
    ids=["unknown", "arguments"],
)
async def test_a_refused_command_says_why(request_: Request, text: str) -> None:
    with pytest.raises(ClientError) as caught:
        await answer(request_)
    assert str(caught.value) == text
