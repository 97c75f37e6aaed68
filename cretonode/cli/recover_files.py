"""The files that operators exchange in a recovery: JSON that says what it is, with bytes inside.

A proposal is one validator's; a plan is all proposals it was made of; a recovery file is the line
of recoveries of a chain, the last one signed by one validator or by q of them.
"""

import base64
import binascii
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from cretonode.config.genesis import Genesis
from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import Plan, Proposal, make_plan
from cretonode.errors import BadSignature, ConfigError, MalformedMessage
from cretonode.node.recovery import Checker, check_follows_untrusted
from cretonode.wire.recovery import (
    decode_proposal_untrusted,
    decode_recoveries_untrusted,
    encode_proposal,
    encode_recoveries,
)

PROPOSAL: Final = "cretonode recovery proposal"
PLAN: Final = "cretonode recovery plan"
RECOVERY: Final = "cretonode recovery"
MADE_BY: Final = {PROPOSAL: "propose", PLAN: "plan", RECOVERY: "sign"}
VERSION: Final = 1
FILE_BYTES_MAX: Final = 256 * 1024 * 1024  # of the plan of the largest committee, and some


def write_proposal(path: Path, genesis: Genesis, proposal: Proposal) -> None:
    """Write one validator's proposal."""
    _write(path, PROPOSAL, genesis, {"proposal": _proposal_value(genesis, proposal)})


def write_plan(path: Path, genesis: Genesis, plan: Plan) -> None:
    """Write a plan: the proposals, from which whoever signs makes it again."""
    proposals = [_proposal_value(genesis, proposal) for proposal in plan.proposals]
    _write(path, PLAN, genesis, {"proposals": proposals})


def write_recovery(path: Path, genesis: Genesis, line: Sequence[Recovery]) -> None:
    """Write a line of recoveries with the signatures they have."""
    last = line[-1]
    about = {
        "to_incarnation": last.incarnation,
        "begins_at": last.base,
        "signed_by": [genesis.validators[vote.author].name for vote in last.votes],
        "recoveries": _text(encode_recoveries(line)),
    }
    _write(path, RECOVERY, genesis, about)


def read_proposals(paths: Sequence[Path], genesis: Genesis) -> list[Proposal]:
    """Return the proposals in these files, verified. Raises: ConfigError, which names the file."""
    checker = Checker.of(genesis)
    found = []
    for path in paths:
        document = _read(path, PROPOSAL, genesis)
        found.append(_proposal(path, document.get("proposal"), checker))
    return found


def read_plan(path: Path, genesis: Genesis) -> Plan:
    """Return the plan in a file, made again from its proposals, each verified.

    Raises: ConfigError, which names the file.
    """
    document = _read(path, PLAN, genesis)
    listed = document.get("proposals")
    if not isinstance(listed, list) or len(listed) > len(genesis.validators):
        raise ConfigError(f"{path}: its proposals are not a list of one for each validator")
    checker = Checker.of(genesis)
    proposals = [_proposal(path, value, checker) for value in listed]
    try:
        return make_plan(genesis.committee(), proposals)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_recovery(path: Path, genesis: Genesis) -> tuple[Recovery, ...]:
    """Return the line of recoveries in a file; every signature in it is good.

    All but the last have q of them. Raises: ConfigError, which names the file.
    """
    document = _read(path, RECOVERY, genesis)
    checker = Checker.of(genesis)
    try:
        line = decode_recoveries_untrusted(_bytes(document.get("recoveries")))
        if not line:
            raise MalformedMessage("it holds no recovery")
        committee = checker.committee_after(line[:-1])
        check_follows_untrusted(committee, line[-1])
        checker.check_votes(committee, line[-1])
    except (MalformedMessage, BadSignature) as error:
        raise ConfigError(f"{path}: {error}") from None
    return line


def read_applicable(path: Path, genesis: Genesis) -> tuple[Recovery, ...]:
    """Return the line of recoveries in a file that q validators signed. Raises: ConfigError."""
    return merged([path], [read_recovery(path, genesis)], genesis)


def merged(
    paths: Sequence[Path], lines: Sequence[tuple[Recovery, ...]], genesis: Genesis
) -> tuple[Recovery, ...]:
    """Return the one line of recoveries that all files hold, the last with exactly q signatures.

    Raises: ConfigError.
    """
    first = lines[0]
    for path, line in zip(paths, lines, strict=True):
        if line != first:
            raise ConfigError(
                f"{paths[0]} and {path} hold signatures of two different recoveries; take files "
                "that were signed for one plan"
            )
    votes = {vote.author: vote for line in lines for vote in line[-1].votes}
    quorum = genesis.committee().quorum
    if len(votes) < quorum:
        names = ", ".join(genesis.validators[author].name for author in sorted(votes))
        raise ConfigError(
            f"signed by {len(votes)} of the {quorum} validators that are needed ({names}): add the "
            "files of others"
        )
    kept = tuple(votes[author] for author in sorted(votes)[:quorum])
    return (*first[:-1], replace(first[-1], votes=kept))


# --- documents


def _proposal_value(genesis: Genesis, proposal: Proposal) -> dict[str, str]:
    data = encode_proposal(genesis.chain_id, genesis.hash, proposal)
    return {
        "validator": genesis.validators[proposal.author].name,
        "data": _text(data),
        "signature": _text(proposal.signature),
    }


def _proposal(path: Path, value: object, checker: Checker) -> Proposal:
    genesis = checker.genesis
    try:
        if not isinstance(value, dict):
            raise MalformedMessage("no proposal")
        proposal = decode_proposal_untrusted(
            genesis.chain_id,
            genesis.hash,
            _bytes(value.get("data")),
            _bytes(value.get("signature")),
        )
        checker.check_proposal(proposal)
    except (MalformedMessage, BadSignature) as error:
        raise ConfigError(f"{path}: a proposal that proves nothing: {error}") from None
    return proposal


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(value: object) -> bytes:
    if not isinstance(value, str):
        raise MalformedMessage("a part of it is missing")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("a part of it is not base64") from None


def _read(path: Path, kind: str, genesis: Genesis) -> dict[str, object]:
    expected = f"expected what `cretonode recover {MADE_BY[kind]}` wrote"
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; {expected}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} has over {FILE_BYTES_MAX} bytes; {expected}")
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is not JSON; {expected}") from None
    if not isinstance(document, dict) or document.get("format") != kind:
        found = document.get("format") if isinstance(document, dict) else None
        is_other = isinstance(found, str) and found in MADE_BY
        what = f"is what `recover {MADE_BY[str(found)]}` wrote" if is_other else "is something else"
        raise ConfigError(f"{path} {what}; {expected}")
    if document.get("version") != VERSION:
        raise ConfigError(f"{path} has version {document.get('version')!r}; expected {VERSION}")
    if document.get("chain_id") != genesis.chain_id:
        raise ConfigError(
            f"{path} is of chain {document.get('chain_id')!r}; expected {genesis.chain_id!r}"
        )
    return document


def _write(path: Path, kind: str, genesis: Genesis, content: dict[str, object]) -> None:
    """Write whole or not at all, in place of an older file of the same name."""
    document = {"format": kind, "version": VERSION, "chain_id": genesis.chain_id, **content}
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
