"""Whose data this is: checked wherever bytes are opened that another node could have made."""

from dataclasses import dataclass

from cretonode.identifiers import ChainId, NodeId, VertexHash, short


@dataclass(frozen=True, slots=True)
class Identity:
    """The chain and the node that a directory, a database or a journal belongs to."""

    chain_id: ChainId
    genesis: VertexHash  # chain ids are chosen by people and repeat; genesis hashes do not
    node_id: NodeId


def difference(found: Identity, expected: Identity) -> str | None:
    """Return how `found` differs, as the end of a sentence about it; None when it does not."""
    if found.chain_id != expected.chain_id:
        return f"belongs to chain '{found.chain_id}'; this node is on chain '{expected.chain_id}'"
    if found.genesis != expected.genesis:
        return (
            f"was made from genesis {short(found.genesis)} of chain '{found.chain_id}'; "
            f"this node has genesis {short(expected.genesis)}"
        )
    if found.node_id != expected.node_id:
        return f"belongs to node {short(found.node_id)}; this node is {short(expected.node_id)}"
    return None
