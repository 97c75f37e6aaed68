from cretonode.network.rate import KINDS_MAX, Seldom, TokenBucket


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate_per_s=10.0, burst=3, now_s=0.0)
    assert [bucket.take(now_s=0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(now_s=0.11) for _ in range(2)] == [True, False]


def test_a_bucket_never_saves_more_than_its_burst() -> None:
    bucket = TokenBucket(rate_per_s=10.0, burst=2, now_s=0.0)
    assert [bucket.take(now_s=1000.0) for _ in range(3)] == [True, True, False]
    assert bucket.is_full(now_s=1001.0)


def test_tokens_on_credit_come_at_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=100.0, burst=2, now_s=0.0)
    waits = [round(bucket.reserve_s(now_s=0.0), 6) for _ in range(4)]
    assert waits == [0.0, 0.0, 0.01, 0.02]


def test_a_clock_that_stands_still_gives_nothing() -> None:
    bucket = TokenBucket(rate_per_s=10.0, burst=1, now_s=5.0)
    assert bucket.take(now_s=5.0)
    assert not bucket.take(now_s=4.0)


def test_a_kind_is_let_through_once_in_an_interval() -> None:
    seldom = Seldom(interval_s=60.0)
    assert seldom.allows("a", now_s=0.0)
    assert not seldom.allows("a", now_s=59.0)
    assert seldom.allows("b", now_s=59.0)
    assert seldom.allows("a", now_s=60.0)


def test_strangers_cannot_make_it_remember_without_end() -> None:
    seldom = Seldom(interval_s=60.0)
    for i in range(10 * KINDS_MAX):
        seldom.allows(str(i), now_s=0.0)
    assert len(seldom._last_s) == KINDS_MAX
