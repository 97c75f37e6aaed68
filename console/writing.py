"""What changes a node: each command with its question, its effect by the node's own word, its end.

Read-only unless the console was started with `--write`; then a dry run says the effect, and only
a `y` does it.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

from console.contact import RequestFailed
from console.dialogs import AskDialog, ChoiceDialog, ConfirmDialog, Dialog
from cretonode.operator.protocol import BAN_ADD, BAN_REMOVE, LOG_LEVEL, STEP_DOWN, STOP, Value

T = TypeVar("T")
LEVELS: Final = (("d", "debug"), ("i", "info"), ("w", "warn"), ("e", "error"))
TITLES: Final = {
    BAN_ADD: "Ban {validator}?",
    BAN_REMOVE: "Take back the ban of {validator}?",
    LOG_LEVEL: "Log from level {level} on?",
    STEP_DOWN: "Step down as leader?",
    STOP: "Stop this node?",
}
DRY_RUN: Final = {"dry_run": True}
FOR_EVER: Final = "ever"
DURATIONS: Final = f"90s, 30m, 2h, 7d, or `{FOR_EVER}` until it is taken back"
LASTS_MS_MAX: Final = 10 * 365 * 86_400_000  # the longest that a node takes
_DURATION: Final = re.compile(r"(\d{1,6})\s*(s|m|min|h|d)", re.ASCII)
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Owner(Protocol):
    """What the commands need of the application."""

    def why_not_writing(self) -> str:
        """Return why nothing can be changed; empty when it can."""

    async def request(self, command: str, arguments: Mapping[str, Value]) -> Value:
        """Return the node's answer. Raises: RequestFailed."""

    async def ask(self, dialog: Dialog[T]) -> T | None:
        """Return what the operator answers, None when not."""

    def tell(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for a while."""


def duration_ms(text: str) -> int | None:
    """Return the milliseconds of `90s`, `30m` (or `30min`), `2h`, `7d`; None: none of these."""
    found = _DURATION.fullmatch(text.strip())
    return None if found is None else int(found[1]) * _UNITS_MS[found[2]]


def why_no_duration(text: str) -> str:
    """Return why a ban cannot last as long as `text` says; empty when it can."""
    if text == FOR_EVER:
        return ""
    ms = duration_ms(text)
    if not ms:
        return f"{text!r} is no duration: expected {DURATIONS}"
    return "" if ms <= LASTS_MS_MAX else f"{text!r} is over ten years: say `{FOR_EVER}`"


async def ban(owner: Owner, validator: str) -> None:
    """Ban a validator."""
    if _refused(owner):
        return
    reason = await owner.ask(
        AskDialog(f"Why ban {validator}?", "the reason, for who reads it later")
    )
    if reason is None:
        return
    lasts = await owner.ask(
        AskDialog(f"For how long is {validator} banned?", DURATIONS, "1h", why_no_duration)
    )
    if lasts is None:
        return
    arguments: dict[str, Value] = {"validator": validator, "reason": reason}
    if lasts != FOR_EVER:
        arguments["lasts_ms"] = duration_ms(lasts)
    await change(owner, BAN_ADD, arguments)


async def unban(owner: Owner, validator: str) -> None:
    """Take a ban back."""
    await change(owner, BAN_REMOVE, {"validator": validator})


async def log_level(owner: Owner) -> None:
    """Change from which level on the node logs."""
    if _refused(owner):
        return
    choices = [(key, level, level) for key, level in LEVELS]
    level = await owner.ask(ChoiceDialog("Log from which level on?", choices))
    if level is not None:
        await change(owner, LOG_LEVEL, {"level": level})


async def step_down(owner: Owner) -> None:
    """Let another validator lead."""
    await change(owner, STEP_DOWN, {})


async def stop(owner: Owner) -> None:
    """Stop the node, as SIGTERM does."""
    await change(owner, STOP, {})


async def change(owner: Owner, command: str, arguments: Mapping[str, Value]) -> None:
    """Say the effect, ask, do it, say what came of it."""
    if _refused(owner):
        return
    try:
        effect = str(await owner.request(command, {**arguments, **DRY_RUN}))
        title = TITLES[command].format(**arguments)
        while await owner.ask(ConfirmDialog(title, effect)):
            # The network may have changed while the question stood there.
            agreed, effect = effect, str(await owner.request(command, {**arguments, **DRY_RUN}))
            if effect == agreed:
                owner.tell(str(await owner.request(command, arguments)))
                return
            title = f"Changed meanwhile. {TITLES[command].format(**arguments)}"
    except RequestFailed as error:
        owner.tell(str(error), bad=True)


def _refused(owner: Owner) -> bool:
    why = owner.why_not_writing()
    if why:
        owner.tell(why, bad=True)
    return bool(why)
