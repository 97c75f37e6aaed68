"""Commands that talk to a node's HTTP interface: submit, get."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from cretonode.cli.base import EXIT_FAILED, reported
from cretonode.cli.output import plain, print_json, print_table
from cretonode.client import Client, Submitted
from cretonode.errors import ConfigError
from cretonode.identifiers import HASH_BYTES

BATCH_TRANSACTIONS: Final = 500
BATCH_BYTES: Final = 2 * 1024 * 1024
URL_OPTION: Final = click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    envvar="CRETONODE_URL",
    help="The node's HTTP interface.",
)
STDIN: Final = "-"


@click.command()
@URL_OPTION
@click.option("--lines", is_flag=True, help="Each line of a file is a transaction of its own.")
@click.option("--wait", "wait_ms", default=0, metavar="MS", help="Wait so long for finality.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("files", nargs=-1, required=True)
@reported
def submit(url: str, files: Sequence[str], wait_ms: int, *, lines: bool, as_json: bool) -> None:
    """Submit each of FILES as a transaction; - is standard input."""
    results: list[Submitted] = []
    with Client(url) as client:
        for batch in _batches(_transactions(files, lines=lines)):
            results += client.submit(batch, wait_ms=wait_ms or None)
    if as_json:
        print_json([plain(result) for result in results])
    else:
        print_table(
            f"{len(results)} accepted by {url}",
            ["id", "known before", "sequence"],
            [
                [r.id.hex(), "yes" if r.known else "", "" if r.sequence is None else r.sequence]
                for r in results
            ],
        )
    if wait_ms and any(result.sequence is None for result in results):
        raise SystemExit(EXIT_FAILED)


@click.command()
@URL_OPTION
@click.option("--wait", "wait_ms", default=0, metavar="MS", help="Wait so long for finality.")
@click.option("--raw", is_flag=True, help="Print the transaction itself.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("transaction_id")
@reported
def get(url: str, transaction_id: str, wait_ms: int, *, raw: bool, as_json: bool) -> None:
    """Show a transaction: whether it is final, and where in the order."""
    with Client(url) as client:
        found = client.transaction(_id_of(transaction_id), wait_ms=wait_ms or None)
    if found is None:
        raise ConfigError(f"{url} does not know transaction {transaction_id}")
    if raw:
        sys.stdout.buffer.write(found.transaction or b"")
    elif as_json:
        print_json(plain(found))
    else:
        fields = plain(found)
        fields["transaction"] = f"{len(found.transaction or b'')} bytes; --raw prints them"
        fields["final"] = "yes" if found.sequence is not None else "no"
        print_table("", ["", ""], list(fields.items()))


def _transactions(files: Sequence[str], *, lines: bool) -> Iterator[bytes]:
    for name in files:
        if name == STDIN:
            data = sys.stdin.buffer.read()
        else:
            try:
                data = Path(name).read_bytes()
            except OSError as error:
                raise ConfigError(f"{name}: {error.strerror}") from None
        parts = data.splitlines() if lines else [data]
        kept = [part for part in parts if part]
        if not kept:
            raise ConfigError(f"{name}: empty; a transaction has at least one byte")
        yield from kept


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
