"""`cretonode recover`: a new incarnation of a network of which too many forgot what they said.

Source: docs/recover.md, docs/spec/durability.md section 11.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from cretonode.cli.base import reported
from cretonode.cli.node_commands import CONFIG_OPTION
from cretonode.cli.output import print_json, print_table
from cretonode.cli.recover_files import (
    merged,
    read_plan,
    read_proposals,
    read_recovery,
    write_plan,
    write_proposal,
    write_recovery,
)
from cretonode.config.genesis import Genesis, read
from cretonode.config.load import load
from cretonode.config.schema import Config
from cretonode.core.committee import Committee
from cretonode.core.recovery import Recovery
from cretonode.core.recovery_plan import JournalState, Plan, make_plan
from cretonode.errors import ConfigError
from cretonode.identifiers import short
from cretonode.node.recovery import Applied, apply, open_stopped, propose, sign

F = TypeVar("F", bound=Callable[..., None])

JOURNALS: Final = {
    JournalState.WHOLE: "whole",
    JournalState.EMPTY: "EMPTY",
    JournalState.LOST: "LOST",
}


def _output(default: str) -> Callable[[F], F]:
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--output", type=path, help=f"Default: {default}")


def _genesis(use: F) -> F:
    return click.option(
        "--genesis",
        "genesis_path",
        required=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="The genesis document of the chain.",
    )(use)


FILES: Final = click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False)
)


@click.group()
def recover() -> None:
    """Restart a network of which more than n - q validators lost their vote journals.

    Up to n - q lost journals need no command: such a node starts as an amnesiac and finds back by
    itself. More of them at once need a new incarnation, signed by q validators. All nodes are
    stopped; then on each `propose`, on one `plan`, on each `sign` and `apply`, and `start`.
    docs/recover.md goes through it step by step.
    """


@recover.command("propose")
@CONFIG_OPTION
@_output("recovery-proposal-NAME.json")
@reported
def propose_(config_path: Path | None, output: Path | None) -> None:
    """Write what this stopped node has: final sequence, certificates, journal. Changes nothing."""
    with open_stopped(_load(config_path)) as node:
        proposal = propose(node)
        path = output or Path(f"recovery-proposal-{node.identity.name}.json")
        write_proposal(path, node.identity.genesis, proposal)
    click.echo(
        f"wrote {path}: final {proposal.final}, certified {proposal.certified}, journal "
        f"{JOURNALS[proposal.journal]}. Leave the node stopped until the plan is applied"
    )


@recover.command("plan")
@_genesis
@_output("recovery-plan.json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@FILES
@reported
def plan_(
    genesis_path: Path, output: Path | None, files: tuple[Path, ...], *, as_json: bool
) -> None:
    """Make one plan of the proposals of q or more validators. Needs no node.

    The network goes on from the highest sequence that any of them proves to be final, or to have
    been prepared above it. What cannot be known from these disks is printed: read it.
    """
    genesis = read(genesis_path)
    plan = make_plan(genesis.committee(), read_proposals(files, genesis))
    path = output or Path("recovery-plan.json")
    write_plan(path, genesis, plan)
    if as_json:
        print_json(_plan_as_json(plan, genesis))
        return
    _print_plan(plan, genesis)
    click.echo(f"\nwrote {path}: next, `cretonode recover sign` it on every node that proposed")


@recover.command("sign")
@CONFIG_OPTION
@_output("recovery-signed-NAME.json")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("plan_path", metavar="PLAN", type=click.Path(path_type=Path, dir_okay=False))
@reported
def sign_(config_path: Path | None, output: Path | None, plan_path: Path, *, yes: bool) -> None:
    """Sign PLAN with this validator's key. From then on the node is silent until it is applied."""
    with open_stopped(_load(config_path)) as node:
        genesis = node.identity.genesis
        plan = read_plan(plan_path, genesis)
        _print_plan(plan, genesis)
        if not yes and not click.confirm(
            f"\nSign as {node.identity.name}? The node then says nothing in incarnation "
            f"{plan.recovery.previous} any more",
            err=True,
        ):
            raise ConfigError("not signed; nothing was changed")
        line = (*plan.history, sign(node, plan))
        path = output or Path(f"recovery-signed-{node.identity.name}.json")
        write_recovery(path, genesis, line)
    click.echo(
        f"wrote {path}: next, `cretonode recover apply` on every node, with the files of "
        f"{genesis.committee().quorum} signers"
    )


@recover.command("apply")
@CONFIG_OPTION
@_output("none. The recovery with its q signatures, for nodes that did not take part.")
@FILES
@reported
def apply_(config_path: Path | None, output: Path | None, files: tuple[Path, ...]) -> None:
    """Enter the new incarnation, with FILES that hold the signatures of q validators.

    A node that is behind catches up once it runs; one that has more final than the recovery is
    refused. Whoever did not sign starts as an amnesiac and finds back by itself.
    """
    with open_stopped(_load(config_path)) as node:
        genesis = node.identity.genesis
        line = merged(files, [read_recovery(path, genesis) for path in files], genesis)
        applied = apply(node, line)
        final = node.store.final_sequence()
        if output is not None:
            write_recovery(output, genesis, line)
    click.echo(_told(applied, line[-1], final))


@recover.command("export")
@CONFIG_OPTION
@_output("recovery.json")
@reported
def export(config_path: Path | None, output: Path | None) -> None:
    """Write the recoveries that this stopped node has applied, for one that missed them."""
    with open_stopped(_load(config_path)) as node:
        line = node.store.recoveries()
        if not line:
            raise ConfigError("this node has applied no recovery: it is in incarnation 0")
        path = output or Path("recovery.json")
        write_recovery(path, node.identity.genesis, line)
    click.echo(f"wrote {path}; on the other node: cretonode recover apply {path}")


@recover.command("show")
@_genesis
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@reported
def show(genesis_path: Path, file: Path, *, as_json: bool) -> None:
    """Check a recovery FILE against the genesis document alone, and show what it says."""
    genesis = read(genesis_path)
    line = read_recovery(file, genesis)
    quorum = genesis.committee().quorum
    if as_json:
        print_json([_recovery_as_json(recovery, genesis) for recovery in line])
        return
    print_table(
        f"recoveries of chain {genesis.chain_id}",
        ["to incarnation", "goes on after", "anchor", "certified", "log root"],
        [
            [
                recovery.incarnation,
                recovery.base,
                short(recovery.base_anchor),
                recovery.final,
                f"{short(recovery.digest)} at {recovery.checkpoint}" if recovery.checkpoint else "",
            ]
            for recovery in line
        ],
    )
    names = ", ".join(genesis.validators[vote.author].name for vote in line[-1].votes)
    click.echo(f"the last one is signed by {names}")
    lacking = quorum - len(line[-1].votes)
    click.echo(
        f"{lacking} more signature{'' if lacking == 1 else 's'} needed"
        if lacking > 0
        else "signed by a quorum: it can be applied"
    )


def _load(config_path: Path | None) -> Config:
    return load(config_path, environment=os.environ, flags={})


def _told(applied: Applied, recovery: Recovery, final: int) -> str:
    if not applied.is_new:
        return f"already in incarnation {applied.incarnation}; nothing was changed"
    lines = [f"in incarnation {applied.incarnation}, which goes on after sequence {recovery.base}"]
    if final < recovery.final:
        lines.append(f"final here is {final}: the node fetches the rest once it runs")
    if applied.is_amnesiac:
        lines.append("this node did not sign, so it starts as an amnesiac and finds back by itself")
    if applied.kept is not None:
        lines.append(f"the old journal is kept in {applied.kept}")
    return "\n".join([*lines, "next: cretonode start"])


def _print_plan(plan: Plan, genesis: Genesis) -> None:
    recovery = plan.recovery
    print_table(
        f"recovery of chain {genesis.chain_id} from incarnation {recovery.previous} to "
        f"{recovery.incarnation}",
        ["validator", "final", "certified", "prepared", "journal", "incarnation", "promised"],
        [
            [
                genesis.validators[p.author].name,
                p.final,
                p.certified,
                p.high.sequence if p.high is not None else "",
                JOURNALS[p.journal],
                p.recoveries[-1].incarnation if p.recoveries else 0,
                p.promised or "",
            ]
            for p in plan.proposals
        ],
    )
    click.echo(
        f"The network goes on after sequence {recovery.base} (anchor "
        f"{recovery.base_anchor.hex()}).\nCertified final is {recovery.final}"
        + (
            f"; {recovery.final + 1} to {recovery.base} were prepared, so perhaps final somewhere, "
            "and become final as they are."
            if recovery.base > recovery.final
            else "."
        )
    )
    click.echo(guarantee(plan, genesis.committee(), genesis))


def guarantee(plan: Plan, committee: Committee, genesis: Genesis) -> str:
    """Return, as sentences, what is known of validators that do not take part. DESIGN 2."""
    size, quorum, faults = committee.size, committee.quorum, committee.faults
    needed, base = size - quorum + 1, plan.recovery.base
    missing = [genesis.validators[index].name for index in plan.missing(committee)]
    lines = [f"Missing: {', '.join(missing)}." if missing else "All validators take part."]
    if plan.beyond:
        lines += [
            f"NOT HELD by anybody here: sequence {position.sequence}, prepared in view "
            f"{position.view}. It may be final where it is held."
            for position in plan.beyond
        ]
    if plan.whole >= needed + faults and not plan.beyond:
        lines.append(
            f"NOTHING IS LOST: {plan.whole} journals are whole. Whatever was final anywhere was "
            f"committed by one of their validators, even if {faults} of them lie."
        )
    elif plan.whole >= needed and not plan.beyond:
        lines.append(
            f"NOTHING IS LOST, unless one of the {plan.whole} validators with a whole journal "
            "lies: whatever was final anywhere was committed by one of them."
        )
    elif missing:
        lines.append(
            f"SOMETHING MAY BE LOST: of the vote journals {plan.whole} are whole; it takes "
            f"{needed} to know of all that was final elsewhere. If {' or '.join(missing)} had "
            f"more final than sequence {base}, its clients were told so, and it would be ordered "
            "anew, perhaps otherwise; that validator is refused then. Get its proposal if there is "
            "any way to."
        )
    else:
        lines.append(
            "Whatever is final in any of these databases is kept. What a database lost with its "
            f"disk, or in a power cut, and was above sequence {base}, may be ordered anew."
        )
    return "\n".join(lines)


def _plan_as_json(plan: Plan, genesis: Genesis) -> dict[str, object]:
    committee = genesis.committee()
    return {
        **_recovery_as_json(plan.recovery, genesis),
        "proposals": [
            {
                "validator": genesis.validators[p.author].name,
                "final": p.final,
                "certified": p.certified,
                "prepared": p.high.sequence if p.high is not None else None,
                "journal": p.journal.value,
                "incarnation": p.recoveries[-1].incarnation if p.recoveries else 0,
                "promised": p.promised or None,
            }
            for p in plan.proposals
        ],
        "missing": [genesis.validators[index].name for index in plan.missing(committee)],
        "not_held": [position.sequence for position in plan.beyond],
        "whole_journals": plan.whole,
        "whole_journals_needed": committee.size - committee.quorum + 1 + committee.faults,
    }


def _recovery_as_json(recovery: Recovery, genesis: Genesis) -> dict[str, object]:
    return {
        "from_incarnation": recovery.previous,
        "to_incarnation": recovery.incarnation,
        "base": recovery.base,
        "base_anchor": recovery.base_anchor.hex(),
        "final": recovery.final,
        "final_anchor": recovery.final_anchor.hex(),
        "checkpoint": recovery.checkpoint,
        "digest": recovery.digest.hex(),
        "signed_by": [genesis.validators[vote.author].name for vote in recovery.votes],
    }


COMMANDS: Final = (recover,)
