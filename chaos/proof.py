"""That every honest node bans a proven liar, on a proof that needs no node to be checked."""

from collections.abc import Sequence

import trio

from chaos.promises import Promises
from cretonode.cli.evidence_commands import verdict_on
from cretonode.cli.layout import GENESIS_FILE, NodeFiles
from cretonode.config.genesis import read
from cretonode.core.messages import Evidence
from cretonode.operator.client import connect
from cretonode.operator.protocol import (
    BANS,
    EVIDENCE,
    EVIDENCE_GET,
    BanSnapshot,
    EvidenceSnapshot,
    records_untrusted,
)
from cretonode.wire.messages import decode_message_untrusted


async def check_banned(promises: Promises, honest: Sequence[NodeFiles], liar: int) -> None:
    """Ask every honest node, and check what it holds against the genesis document alone."""
    lacking = [
        f"{each.name}: {problem}"
        for each in honest
        if (problem := await trio.to_thread.run_sync(_problem, each, liar)) is not None
    ]
    promises.check(
        "every honest node bans the liar, with evidence that verifies offline",
        "; ".join(lacking) or f"{len(honest)} of {len(honest)}",
        kept=not lacking,
    )


def _problem(files: NodeFiles, liar: int) -> str | None:
    """Return what a node lacks; None when it bans the liar and can prove why. Blocks."""
    genesis = read(files.directory.parent / GENESIS_FILE)
    with connect(files.operator_socket) as client:
        bans = records_untrusted(BanSnapshot, client.request(BANS))
        held = records_untrusted(EvidenceSnapshot, client.request(EVIDENCE))
        if [(ban.validator, ban.in_force) for ban in bans] != [(liar, True)]:
            return f"bans {[(ban.name, ban.in_force) for ban in bans]}"
        if {piece.author for piece in held} != {liar}:
            return f"evidence against {[piece.name for piece in held]}"
        for piece in held:
            encoded = client.request(EVIDENCE_GET, {"id": piece.id})
            evidence = decode_message_untrusted(encoded) if isinstance(encoded, bytes) else None
            if not isinstance(evidence, Evidence):
                return f"no evidence {piece.id.hex()}"
            if (problem := verdict_on(genesis, evidence)) is not None:
                return problem
    return None
