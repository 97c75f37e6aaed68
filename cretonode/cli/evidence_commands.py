"""Commands about evidence: list and show what a node holds, export it, verify a file offline."""

import base64
import binascii
import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import click

from cretonode.cli.ban_commands import JSON_OPTION
from cretonode.cli.base import EXIT_FAILED, reported
from cretonode.cli.local_socket import SOCKET_OPTION, attached
from cretonode.cli.node_commands import CONFIG_OPTION
from cretonode.cli.output import plain, print_json, print_table
from cretonode.cli.recover_files import read_applicable
from cretonode.config.genesis import Genesis, read
from cretonode.core.committee import Committee
from cretonode.core.evidence import contradiction, described, words_of
from cretonode.core.messages import Evidence
from cretonode.core.recovery import Recovery
from cretonode.crypto.signatures import VerifyingKey
from cretonode.errors import BadSignature, ConfigError, MalformedMessage
from cretonode.node.verification import check_evidence
from cretonode.operator.client import OperatorClient
from cretonode.operator.protocol import (
    EVIDENCE,
    EVIDENCE_GET,
    EvidenceSnapshot,
    records_untrusted,
)
from cretonode.wire.messages import decode_message_untrusted

FORMAT: Final = "cretonode evidence"
VERSION: Final = 1
FILE_BYTES_MAX: Final = 256 * 1024


@click.group()
def evidence() -> None:
    """Proofs that a validator signed two statements that contradict each other.

    Anybody can check them with the genesis document alone: `cretonode evidence verify`.
    """


@evidence.command("list")
@CONFIG_OPTION
@SOCKET_OPTION
@JSON_OPTION
@reported
def list_(config_path: Path | None, socket_path: Path | None, *, as_json: bool) -> None:
    """List the evidence that a node on this machine holds."""
    with attached(config_path, socket_path) as client:
        held = _held(client)
    if as_json:
        print_json([plain(piece) for piece in held])
        return
    print_table(
        f"{len(held)} piece{'' if len(held) == 1 else 's'} of evidence",
        ["id", "validator", "contradiction"],
        [[piece.id.hex()[:16], piece.name, piece.contradiction] for piece in held],
    )


@evidence.command()
@CONFIG_OPTION
@SOCKET_OPTION
@JSON_OPTION
@click.argument("id_", metavar="ID")
@reported
def show(config_path: Path | None, socket_path: Path | None, id_: str, *, as_json: bool) -> None:
    """Show one piece: ID is the first digits of its id."""
    with attached(config_path, socket_path) as client:
        piece = _find(_held(client), id_)
    if as_json:
        print_json(plain(piece))
    else:
        print_table("", ["", ""], list(plain(piece).items()))


@evidence.command()
@CONFIG_OPTION
@SOCKET_OPTION
@click.option("--output", type=click.Path(path_type=Path), help="Default: standard output.")
@click.argument("id_", metavar="ID")
@reported
def export(
    config_path: Path | None, socket_path: Path | None, output: Path | None, id_: str
) -> None:
    """Write one piece as a file that `verify` reads: ID is the first digits of its id."""
    with attached(config_path, socket_path) as client:
        piece = _find(_held(client), id_)
        encoded = client.request(EVIDENCE_GET, {"id": piece.id})
        chain_id = client.hello.chain_id
    if not isinstance(encoded, bytes):
        raise ConfigError(f"the node holds no evidence {piece.id.hex()} any more")
    document = {
        "format": FORMAT,
        "version": VERSION,
        "chain_id": chain_id,
        **plain(piece),
        "evidence": base64.b64encode(encoded).decode("ascii"),
    }
    text = json.dumps(document, indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"wrote {output}; check it with: cretonode evidence verify {output}")


@evidence.command()
@click.option(
    "--genesis",
    "genesis_path",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The genesis document of the chain.",
)
@click.option(
    "--recovery",
    "recovery_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The recovery file, where the network was recovered (`recover export`).",
)
@JSON_OPTION
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@reported
def verify(genesis_path: Path, recovery_path: Path | None, file: Path, *, as_json: bool) -> None:
    """Check FILE against the genesis document alone. Exit code 0: it proves what it says.

    1: it proves nothing. 2: the file or the genesis document cannot be read. After a recovery, what
    was signed in the new incarnation needs the recovery file as well.
    """
    genesis = read(genesis_path)
    piece = read_evidence(file)
    line = () if recovery_path is None else read_applicable(recovery_path, genesis)
    problem = verdict_on(genesis, piece, line)
    known = piece.author < len(genesis.validators)
    name = genesis.validators[piece.author].name if known else f"validator {piece.author}"
    what = contradiction(piece.first, piece.second)
    if as_json:
        print_json(
            {
                "valid": problem is None,
                "reason": problem or "",
                "author": piece.author,
                "name": name,
                "contradiction": what,
                "first": f"{words_of(piece.first)}: {described(piece.first)}",
                "second": f"{words_of(piece.second)}: {described(piece.second)}",
            }
        )
    else:
        print_table(
            f"evidence on chain {genesis.chain_id}",
            ["statement", "says", "signed by"],
            [[words_of(s), described(s), name] for s in (piece.first, piece.second)],
        )
        if problem is None:
            click.echo(f"PROVEN: {name} signed both: {what}")
        else:
            click.echo(f"NOT PROVEN: {problem}")
    if problem is not None:
        raise SystemExit(EXIT_FAILED)


def verdict_on(
    genesis: Genesis, piece: Evidence, recoveries: Sequence[Recovery] = ()
) -> str | None:
    """Return why `piece` proves nothing in any incarnation of the chain; None when it does."""
    keys = tuple(VerifyingKey(v.public_key) for v in genesis.validators)
    committees = accumulate(recoveries, Committee.recovered, initial=genesis.committee())
    problem = None
    for committee in committees:
        try:
            check_evidence(committee, keys, genesis.crypto_mode, piece)
        except (MalformedMessage, BadSignature) as error:
            problem = str(error)
        else:
            return None
    return problem


def read_evidence(path: Path) -> Evidence:
    """Return the evidence in an exported file. Raises: ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} has over {FILE_BYTES_MAX} bytes: it is no exported evidence")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON: expected what `evidence export` wrote") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ConfigError(f"{path} is no evidence: expected what `evidence export` wrote")
    if document.get("version") != VERSION:
        raise ConfigError(f"{path} has version {document.get('version')!r}; expected {VERSION}")
    try:
        encoded = base64.b64decode(str(document.get("evidence")), validate=True)
        message = decode_message_untrusted(encoded)
    except (binascii.Error, TypeError, ValueError, MalformedMessage) as error:
        raise ConfigError(f"{path}: its evidence cannot be read: {error}") from None
    if not isinstance(message, Evidence):
        raise ConfigError(f"{path}: it holds a {type(message).__name__}, no evidence")
    return message


def _held(client: OperatorClient) -> tuple[EvidenceSnapshot, ...]:
    return records_untrusted(EvidenceSnapshot, client.request(EVIDENCE))


def _find(held: tuple[EvidenceSnapshot, ...], text: str) -> EvidenceSnapshot:
    found = [piece for piece in held if text and piece.id.hex().startswith(text.lower())]
    if len(found) == 1:
        return found[0]
    known = ", ".join(piece.id.hex()[:16] for piece in held) or "none"
    raise ConfigError(f"{len(found)} pieces of evidence begin with {text!r}; held are {known}")


COMMANDS: Final = (evidence,)
