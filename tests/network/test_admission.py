import os

import pytest
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import pull_quic_header
from hypothesis import given, settings
from hypothesis import strategies as st

from cretonode.network.admission import (
    HOSTS_MAX,
    Admission,
    Admit,
    Drop,
    Retry,
    destination_untrusted,
)
from cretonode.network.aioquic_engine import AioquicEngine, make_client
from tests.network.simulated import ALICE, BOB, engine_settings, new_credentials

CREDENTIALS = new_credentials()


def new_door() -> Admission:
    return Admission(host_handshakes_per_s=2.0, host_handshakes_burst=3)


def first_flight() -> tuple[AioquicEngine, bytes]:
    client = make_client(engine_settings(CREDENTIALS))
    client.connect(BOB, now_s=0.0)
    return client, client.transmit(now_s=0.0)[0][0]


def second_flight(door: Admission) -> bytes:
    """Return the first datagram of a client that has answered the Retry."""
    client, datagram = first_flight()
    answer = door.admit_untrusted(datagram, ALICE, now_s=0.0)
    assert isinstance(answer, Retry)
    client.receive_untrusted(answer.datagram, BOB, now_s=0.0)
    return client.transmit(now_s=0.0)[0][0]


def test_a_stranger_is_sent_a_retry_shorter_than_what_it_sent() -> None:
    """RFC 9000, section 8.1: no use as an amplifier."""
    _, datagram = first_flight()
    answer = new_door().admit_untrusted(datagram, ALICE, now_s=0.0)
    assert isinstance(answer, Retry)
    assert len(answer.datagram) < len(datagram) / 6


def test_whoever_answers_the_retry_is_admitted_with_both_ids() -> None:
    door = new_door()
    client, first = first_flight()
    answer = door.admit_untrusted(first, ALICE, now_s=0.0)
    assert isinstance(answer, Retry)
    client.receive_untrusted(answer.datagram, BOB, now_s=0.0)
    second = client.transmit(now_s=0.0)[0][0]
    admitted = door.admit_untrusted(second, ALICE, now_s=0.0)
    assert isinstance(admitted, Admit)
    assert admitted.original_id == pull_quic_header(Buffer(data=first)).destination_cid
    assert admitted.retry_id == destination_untrusted(second)


def test_a_token_is_worth_nothing_at_another_address() -> None:
    door = new_door()
    datagram = second_flight(door)
    for elsewhere in (("10.0.0.9", 9001), ("10.0.0.1", 9002)):
        assert door.admit_untrusted(datagram, elsewhere, now_s=0.0) is Drop.BAD_TOKEN


def test_a_token_is_worth_nothing_after_half_a_minute_or_at_another_door() -> None:
    door = new_door()
    datagram = second_flight(door)
    assert door.admit_untrusted(datagram, ALICE, now_s=31.0) is Drop.BAD_TOKEN
    assert new_door().admit_untrusted(datagram, ALICE, now_s=0.0) is Drop.BAD_TOKEN


def test_one_host_may_begin_only_so_often() -> None:
    door = new_door()
    datagrams = [second_flight(door) for _ in range(5)]
    answers = [door.admit_untrusted(d, ALICE, now_s=0.0) for d in datagrams]
    assert [isinstance(a, Admit) for a in answers] == [True, True, True, False, False]
    assert answers[-1] is Drop.HOST_RATE
    assert isinstance(door.admit_untrusted(datagrams[0], ALICE, now_s=0.6), Admit)


def test_the_hosts_remembered_are_bounded_and_the_busy_ones_stay() -> None:
    door = new_door()
    for i in range(HOSTS_MAX):
        assert door._host_may_begin(f"10.1.{i // 256}.{i % 256}", 0.0)
    assert not door._host_may_begin("10.9.9.9", 0.0), "full of hosts that are limited"
    assert door._host_may_begin("10.9.9.9", 60.0)
    assert len(door._hosts) == HOSTS_MAX


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d[:1199], Drop.SHORT_INITIAL),
        (lambda d: d[:1] + b"\xff\x00\x00\x1d" + d[5:], Drop.OTHER_VERSION),
        (lambda d: bytes([d[0] | 0x20]) + d[1:], Drop.NO_ROUTE),
        (lambda d: bytes([d[0] & 0xBF]) + d[1:], Drop.NOT_QUIC),
        (lambda d: d[:5] + b"\x15" + d[6:], Drop.NOT_QUIC),
        (lambda d: d[:5] + b"\x07" + d[6:13] + d[14:] + b"\0", Drop.NOT_QUIC),
        (lambda d: bytes([d[0] & 0x7F]) + d[1:], Drop.NO_ROUTE),
    ],
    ids=["short", "version", "handshake packet", "fixed bit", "id too long", "id short", "1-RTT"],
)
def test_what_is_no_first_packet_is_dropped(change: object, expected: Drop) -> None:
    _, datagram = first_flight()
    assert callable(change)
    assert new_door().admit_untrusted(change(datagram), ALICE, now_s=0.0) is expected


@settings(deadline=None)
@given(data=st.binary(max_size=60), length=st.integers(0, 1300), version_1=st.booleans())
def test_no_bytes_make_the_door_raise(data: bytes, length: int, version_1: bool) -> None:
    datagram = (data + os.urandom(length))[:1452]
    if version_1:
        datagram = bytes([0xC0 | (datagram[0] if datagram else 0)]) + b"\0\0\0\1" + datagram[5:]
    new_door().admit_untrusted(datagram, ALICE, now_s=0.0)
    destination_untrusted(datagram)
