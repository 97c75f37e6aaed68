"""Plays the real application on a recording, without a terminal: `on_recording` makes a test."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from console.app import ConsoleApp
from console.main_screen import PLANS
from console.options import Options

RECORDING = Path(__file__).parent / "recordings" / "attack.creto"
STALLED_AT = 30  # a delta at which the liar is banned, another is gone, and nothing becomes final
LIVE_AT = 8
LIMIT_S = 60.0


def screen_text(app: ConsoleApp) -> str:
    """Return what is on the screen, as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


@dataclass
class Played:
    """The application while it runs."""

    app: ConsoleApp
    pilot: Pilot[None]
    directory: Path

    async def press(self, *keys: str) -> str:
        """Press keys and return the screen."""
        await self.pilot.press(*keys)
        await self.pilot.pause()
        return screen_text(self.app)

    async def until(self, condition: Callable[[], object]) -> str:
        """Return the screen once something is so."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                await self.pilot.pause(0.01)
        await self.pilot.pause()
        return screen_text(self.app)

    async def until_text(self, words: str) -> str:
        """Return the screen once it says these words."""
        return await self.until(lambda: words in screen_text(self.app))

    def told(self) -> list[str]:
        """Return the sentences shown for a while."""
        return [notification.message for notification in self.app._notifications]


@asynccontextmanager
async def opened(
    options: Options, size: tuple[int, int] = (80, 24), *, toasts: bool = False
) -> AsyncGenerator[Played]:
    """Run the application. `toasts`: sentences shown for a while stand on the screen, too."""
    app = ConsoleApp(options)
    async with app.run_test(size=size, notifications=toasts) as pilot:
        yield Played(app, pilot, options.directory)


@asynccontextmanager
async def replayed(
    at: int = STALLED_AT,
    size: tuple[int, int] = (80, 24),
    recording: Path = RECORDING,
    *,
    toasts: bool = False,
    **more: object,
) -> AsyncGenerator[Played]:
    """Run the application on a recording, standing at a delta."""
    with tempfile.TemporaryDirectory() as directory:
        options = Options(
            recording=recording,
            playing=False,
            directory=Path(directory),
            **more,  # type: ignore
        )
        async with opened(options, size, toasts=toasts) as played:
            await played.until(lambda: played.app.player is not None)
            played.app._on_player(lambda player: player.go(at))
            yield played


def on_recording(
    at: int = STALLED_AT, size: tuple[int, int] = (80, 24)
) -> Callable[[Callable[[Played], Awaitable[None]]], Callable[[], None]]:
    """Make a plain test of a coroutine: the suite's own async tests run on trio."""

    def decorate(test: Callable[[Played], Awaitable[None]]) -> Callable[[], None]:
        def run() -> None:
            async def play() -> None:
                async with replayed(at, size) as played:
                    await test(played)

            asyncio.run(play())

        run.__doc__ = test.__doc__
        run.__name__ = test.__name__
        return run

    return decorate


def every_table() -> list[tuple[str, list[str]]]:
    """Return a name for each table and screen, and the keys that lead there."""
    found = []
    for i, plan in enumerate(PLANS, start=1):
        names = [part.name for part in plan.parts] or [plan.name]
        for j, name in enumerate(names):
            found.append((f"{i}-{name.lower().replace(' ', '-')}", [str(i), *["v"] * j]))
    return found
