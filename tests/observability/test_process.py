"""What a process says of itself."""

import threading

import trio

from cretonode.observability.process import threads_at_work


async def test_a_thread_is_named_while_it_works_and_not_when_it_is_idle() -> None:
    begun, done = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        done.wait(10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, work)
        await trio.to_thread.run_sync(begun.wait, 10)
        during = threads_at_work()
        done.set()
    assert any(name.startswith("work from ") for name in during)
    assert not any(name.startswith("work from ") for name in threads_at_work())
