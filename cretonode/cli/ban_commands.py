"""Commands about whom a node on this machine has banned: bans list, add, remove."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import click

from cretonode.cli.base import reported
from cretonode.cli.local_socket import SOCKET_OPTION, attached
from cretonode.cli.node_commands import CONFIG_OPTION
from cretonode.cli.output import plain, print_json, print_table
from cretonode.errors import ConfigError, MalformedMessage
from cretonode.operator.commands import TIME_MS_MAX
from cretonode.operator.protocol import (
    BAN_ADD,
    BAN_REMOVE,
    BANS,
    REPUTATION,
    BanSnapshot,
    ReputationSnapshot,
    records_untrusted,
)

F = TypeVar("F", bound=Callable[..., object])

JSON_OPTION: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
DRY_RUN_OPTION: Final = click.option(
    "--dry-run", is_flag=True, help="Say what would happen, and do nothing."
)
UNITS_MS: Final = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


@click.group()
def bans() -> None:
    """Show and change whom this node lets connect.

    A ban ends the connection and nothing else: signatures of a banned validator still count in
    certificates. At most as many as may be malicious can be banned at a time, so that the node
    goes on; bans beyond that are listed as warnings.
    """


@bans.command("list")
@CONFIG_OPTION
@SOCKET_OPTION
@JSON_OPTION
@reported
def list_(config_path: Path | None, socket_path: Path | None, *, as_json: bool) -> None:
    """List the bans that stand, and the score of every other validator."""
    with attached(config_path, socket_path) as client:
        banned = records_untrusted(BanSnapshot, client.request(BANS))
        scores = records_untrusted(ReputationSnapshot, client.request(REPUTATION))
    if as_json:
        print_json({"bans": [plain(b) for b in banned], "reputation": [plain(s) for s in scores]})
        return
    print_table(
        "bans" if banned else "nobody is banned",
        ["validator", "in force", "since", "until", "by", "reason"],
        [
            [
                ban.name,
                "yes" if ban.in_force else "no: a warning",
                time_of(ban.since_ms),
                "it is taken back" if ban.until_ms is None else time_of(ban.until_ms),
                ban.by,
                ban.reason,
            ]
            for ban in banned
        ],
    )
    print_table(
        "reputation",
        ["validator", "score", "violations", "evidence"],
        [[s.name, f"{s.score:.2f}", s.violations, s.evidence] for s in scores],
    )


@bans.command()
@CONFIG_OPTION
@SOCKET_OPTION
@click.option("--reason", required=True, help="Shown wherever the ban is.")
@click.option("--for", "lasts", metavar="TIME", help="90s, 30m, 1h or 2d. Default: for good.")
@DRY_RUN_OPTION
@JSON_OPTION
@click.argument("validator")
@reported
def add(
    config_path: Path | None,
    socket_path: Path | None,
    reason: str,
    lasts: str | None,
    validator: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Disconnect VALIDATOR, a name or an index, and let it connect no more.

    Refused when more than f validators would be banned then. It says how many are left and whether
    finality goes on with them; --dry-run says it beforehand.
    """
    lasts_ms = None if lasts is None else milliseconds_of(lasts)
    with attached(config_path, socket_path) as client:
        effect = client.request(
            BAN_ADD,
            {"validator": validator, "reason": reason, "lasts_ms": lasts_ms, "dry_run": dry_run},
        )
    _print_effect(effect, as_json=as_json)


@bans.command()
@CONFIG_OPTION
@SOCKET_OPTION
@DRY_RUN_OPTION
@JSON_OPTION
@click.argument("validator")
@reported
def remove(
    config_path: Path | None,
    socket_path: Path | None,
    validator: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let VALIDATOR, a name or an index, connect again, with the best score."""
    with attached(config_path, socket_path) as client:
        effect = client.request(BAN_REMOVE, {"validator": validator, "dry_run": dry_run})
    _print_effect(effect, as_json=as_json)


def milliseconds_of(text: str) -> int:
    """Return a time like 90s, 30m, 1h or 2d. Raises: ConfigError."""
    found = re.fullmatch(r"0*([0-9]{1,15})(s|m|min|h|d)", text, re.ASCII)
    if found is None:
        raise ConfigError(f"--for {text}: expected a time like 90s, 30m, 1h or 2d")
    lasts_ms = int(found[1]) * UNITS_MS[found[2]]
    if not 0 < lasts_ms <= TIME_MS_MAX:
        days = TIME_MS_MAX // UNITS_MS["d"]
        raise ConfigError(
            f"--for {text}: expected 1s to {days}d; without --for it stands until it is taken back"
        )
    return lasts_ms


def time_of(unix_ms: int) -> str:
    """Return a time for people, in UTC."""
    try:
        return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return f"{unix_ms} ms"


def _print_effect(effect: object, *, as_json: bool) -> None:
    if not isinstance(effect, str):
        raise MalformedMessage("the node answered with something else than a text")
    if as_json:
        print_json({"effect": effect})
    else:
        click.echo(effect)


COMMANDS: Final = (bans,)
