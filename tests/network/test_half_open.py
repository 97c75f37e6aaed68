from cretonode.network.connection import Connection
from cretonode.network.half_open import LINGERING_MAX, REPEATS_MAX, HalfOpen, Lingering
from cretonode.network.quic_engine import ConnectionId, Datagram
from cretonode.network.settings import NetworkSettings
from tests.network.fakes import FakeEngine
from tests.network.simulated import ALICE, BOB, World

GOODBYE: Datagram = (b"goodbye", ALICE)


def from_host(host: str) -> Connection:
    return Connection(
        engine=FakeEngine(),
        address=(host, 1),
        is_client=False,
        settings=NetworkSettings(),
        owner=World().bob,
        clock=lambda: 0.0,
    )


def test_a_flood_crowds_out_its_own_beginnings_and_not_anothers() -> None:
    half_open = HalfOpen(count_max=4)
    honest = from_host("10.0.0.7")
    assert half_open.add(honest) is None
    flood = [from_host("10.6.6.6") for _ in range(20)]
    victims = [half_open.add(connection) for connection in flood]
    assert victims == [None, None, None, *flood[:17]]
    assert len(half_open) == 4


def test_a_connection_that_is_established_makes_room() -> None:
    half_open = HalfOpen(count_max=2)
    first, second, third = (from_host("10.0.0.7") for _ in range(3))
    half_open.add(first)
    half_open.add(second)
    half_open.discard(first)
    half_open.discard(first)
    assert half_open.add(third) is None


def test_a_goodbye_is_repeated_a_few_times_to_its_own_address_only() -> None:
    lingering = Lingering()
    one = ConnectionId(b"12345678")
    lingering.add({one}, GOODBYE, now_s=0.0)
    assert lingering.answer(one, BOB, now_s=0.1) == (True, None)
    answers = [lingering.answer(one, ALICE, now_s=0.1) for _ in range(REPEATS_MAX + 1)]
    assert answers == [(True, GOODBYE)] * REPEATS_MAX + [(True, None)]
    assert lingering.answer(one, ALICE, now_s=60.0) == (False, None)


def test_what_lingers_is_bounded() -> None:
    lingering = Lingering()
    for i in range(3 * LINGERING_MAX):
        lingering.add({ConnectionId(i.to_bytes(8, "big"))}, GOODBYE, now_s=0.0)
    assert len(lingering) == LINGERING_MAX
    lingering.add(set(), None, now_s=60.0)
    assert len(lingering) == 0
