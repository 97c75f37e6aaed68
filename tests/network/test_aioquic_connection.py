import pytest

from cretonode.network.aioquic_connection import BURST_PACKETS_MAX, BurstPacer


@pytest.mark.parametrize(
    ("window_bytes", "round_trip_s", "packets"),
    [
        (10_000_000, 0.002, BURST_PACKETS_MAX),
        (1_000_000, 0.1, 16),
        (1_000_000, 0.05, 27),
        (14_520, 0.1, 2),
    ],
    ids=["a fast path", "a slow one keeps aioquic's burst", "two milliseconds' worth", "a new one"],
)
def test_a_burst_is_what_the_rate_allows_between_two_ticks(
    window_bytes: int, round_trip_s: float, packets: int
) -> None:
    """RFC 9002, section 7.7."""
    pacer = BurstPacer(max_datagram_size=1452)
    pacer.update_rate(window_bytes, round_trip_s)
    pacer.update_bucket(now=1000.0)
    sent = 0
    while pacer.next_send_time(now=1000.0) is None:
        pacer.update_after_send(now=1000.0)
        sent += 1
    assert abs(sent - packets) <= 1
