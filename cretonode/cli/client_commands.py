"""Commands that talk to a node's HTTP interface: submit, get."""

import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click

from cretonode.cli.base import EXIT_FAILED, reported
from cretonode.cli.output import complain, plain, print_json, print_table
from cretonode.cli.submitting import Tally, lines_of, wholes_of
from cretonode.client import Client
from cretonode.errors import ConfigError
from cretonode.identifiers import HASH_BYTES

WAIT_MS_MAX: Final = 30_000  # what a node allows
WAIT_OPTION: Final = click.option(
    "--wait",
    "wait_ms",
    default=0,
    metavar="MS",
    type=click.IntRange(0, WAIT_MS_MAX),
    help=f"Wait so long for finality, at most {WAIT_MS_MAX}.",
)
BATCH_TRANSACTIONS: Final = 500
BATCH_BYTES: Final = 2 * 1024 * 1024
URL_OPTION: Final = click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    envvar="CRETONODE_URL",
    help="The node's HTTP interface.",
)


@click.command()
@URL_OPTION
@click.option("--lines", is_flag=True, help="Each line of a file is a transaction of its own.")
@WAIT_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("files", nargs=-1, required=True)
@reported
def submit(url: str, files: Sequence[str], wait_ms: int, *, lines: bool, as_json: bool) -> None:
    """Submit each of FILES as a transaction; - is standard input."""
    transactions = lines_of(files) if lines else wholes_of(files)
    tally = Tally(url, as_json=as_json)
    with Client(url) as client, tally:
        for batch in _batches(transactions):
            tally.add(client.submit(batch, wait_ms=wait_ms or None))
    if wait_ms and tally.final < tally.accepted:
        raise SystemExit(EXIT_FAILED)


@click.command()
@URL_OPTION
@WAIT_OPTION
@click.option("--raw", is_flag=True, help="Print the transaction itself.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("transaction_id")
@reported
def get(url: str, transaction_id: str, wait_ms: int, *, raw: bool, as_json: bool) -> None:
    """Show a transaction: whether it is final, and where in the order."""
    with Client(url) as client:
        found = client.transaction(_id_of(transaction_id), wait_ms=wait_ms or None)
    if found is None:
        complain(f"{url} does not know transaction {transaction_id}")
        raise SystemExit(EXIT_FAILED)
    if raw:
        sys.stdout.buffer.write(found.transaction or b"")
        sys.stdout.buffer.flush()
    elif as_json:
        print_json(plain(found))
    else:
        fields = plain(found)
        fields["transaction"] = f"{len(found.transaction or b'')} bytes; --raw prints them"
        fields["final"] = "yes" if found.sequence is not None else "no"
        print_table("", ["", ""], list(fields.items()))


def _batches(transactions: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for transaction in transactions:
        full = len(batch) >= BATCH_TRANSACTIONS or size + len(transaction) > BATCH_BYTES
        if batch and full:
            yield batch
            batch, size = [], 0
        batch.append(transaction)
        size += len(transaction)
    if batch:
        yield batch


def _id_of(text: str) -> bytes:
    try:
        id_ = bytes.fromhex(text)
    except ValueError:
        id_ = b""
    if len(id_) != HASH_BYTES:
        raise ConfigError(f"{text!r} is no transaction id; expected {2 * HASH_BYTES} hex digits")
    return id_


COMMANDS: Final = (submit, get)
