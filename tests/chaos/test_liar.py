"""The lying node outside its network: its names, its encodings, its flood of vertices."""

import random
from dataclasses import replace

import pytest

from chaos.flood import Memory
from chaos.floods import FLOODS, CopiesFlood, Flood, FullFlood, OversizedFlood
from chaos.liar import KNOWN, encode_lie
from chaos.options import parse
from chaos.promises import Promises
from cretonode.core.messages import VertexMessage
from cretonode.dag.vertex import Vertex
from cretonode.errors import ConfigError, MalformedMessage
from cretonode.identifiers import AuthorIndex, SequenceNumber, ValidatorIndex
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX
from cretonode.wire.messages import decode_message_untrusted, encode_message
from tests.node.test_performer import VERTEX
from tests.simulation.byzantine import BEHAVIOURS
from tests.simulation.byzantine.behaviour import S, Setting
from tests.simulation.scenario import committee_of


def sign(statement: S) -> S:
    return replace(statement, signature=b"signature")


def setting() -> Setting:
    return Setting(
        committee=committee_of(4),
        me=ValidatorIndex(3),
        sign=sign,
        rng=random.Random(7),
        timeout_ms=1_000,
    )


def anchor() -> VertexMessage:
    vertex = replace(VERTEX.vertex, author=ValidatorIndex(0), sequence=SequenceNumber(1))
    return replace(VERTEX, vertex=vertex)


def said(flood: Flood, now_ms: int) -> list[VertexMessage]:
    flood.hears(ValidatorIndex(0), anchor(), now_ms)
    found = [message for _, message in flood.outgoing([], now_ms, lambda _: [])]
    return [message for message in found if isinstance(message, VertexMessage)]


def test_every_liar_of_the_simulator_has_a_name_of_one_word() -> None:
    assert len(KNOWN) == len(BEHAVIOURS) + len(FLOODS) + 1
    assert not [name for name in KNOWN if " " in name]


def test_an_unknown_liar_is_named_with_all_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"behaviour is 'sings'; expected all, .*votes-twice"):
        parse(["liar", "behaviour=sings"])
    with pytest.raises(ConfigError, match="node is 4; expected 0 to 3"):
        parse(["liar", "node=4"])
    assert parse(["flood", "behaviour=long-frames"]).words["behaviour"] == "long-frames"
    with pytest.raises(ConfigError, match="often is '2'"):
        parse(["liar", "often=2"])


def test_a_flood_of_full_vertices_is_one_that_a_node_believes() -> None:
    """Else it would end at the decoder, and no bound behind that were tested."""
    flood = FullFlood(setting())
    messages = said(flood, 1_000)
    assert len(messages) == 3, "one for each of the others"
    decoded = decode_message_untrusted(encode_message(messages[0]))
    assert isinstance(decoded, VertexMessage)
    assert decoded.vertex.transaction_count == PAYLOAD_TRANSACTIONS_MAX
    assert said(flood, 1_050) == [], "ten times a second"
    assert said(flood, 1_100)[0].vertex.index == messages[0].vertex.index + 1


def test_a_flood_of_copies_carries_what_another_carried() -> None:
    flood = CopiesFlood(setting())
    heard = said(FullFlood(setting()), 1_000)[0]
    flood.hears(ValidatorIndex(1), heard, 1_000)
    messages = said(flood, 1_000)
    assert {message.vertex.author for message in messages} == {ValidatorIndex(3)}
    assert heard.transaction_ids in {message.transaction_ids for message in messages}


def test_an_oversized_vertex_can_be_sent_and_is_refused() -> None:
    flood = OversizedFlood(setting())
    broken: set[str] = set()
    for now_ms in range(1_000, 5_000, 100):
        for message in said(flood, now_ms):
            with pytest.raises(MalformedMessage) as refused:
                decode_message_untrusted(encode_lie(message))
            broken.add(str(refused.value).split(" ")[0])
    assert len(broken) > 1, broken


def test_an_honest_vertex_is_encoded_as_ever() -> None:
    vertex: Vertex = replace(VERTEX.vertex, index=AuthorIndex(9))
    message = sign(replace(VERTEX, vertex=vertex))
    assert encode_lie(message) == encode_message(message)


def test_memory_is_counted_from_the_mean_of_its_first_samples() -> None:
    memory = Memory([], [[100.0, 102.0, 98.0, 100.0, 100.0, 130.0, 120.0]])
    assert memory.growth() == [30.0]


def test_a_part_of_a_scenario_is_one_line_and_every_broken_promise() -> None:
    part, whole = Promises(), Promises()
    part.check("one", "it was", kept=True)
    part.check("two", "it was not", kept=False)
    whole.adopt(part, "liar")
    assert [(each.name, each.kept) for each in whole.checked] == [
        ("liar", False),
        ("liar: two", False),
    ]
