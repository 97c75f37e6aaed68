"""A node that votes like any other and lies to those who catch up. For tests; not in the wheel.

`python -m chaos.bad_server lies start ...`: the node's own command line, its server replaced.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from cretonode.cli import main as command_line
from cretonode.core.effects import Serve
from cretonode.core.messages import FetchVertices, Message, SlotHeaders, VertexMessage
from cretonode.identifiers import SequenceNumber
from cretonode.node import node as assembly
from cretonode.node.server import SlotServer

TRICKLE_S: Final = 0.5


class Lies(SlotServer):
    """Ranges without what they stand on, of other sequences, from another time; no vertices."""

    count = 0
    before: SlotHeaders | None = None

    def _stored(self, request: Serve) -> Iterator[Message]:
        for message in super()._stored(request):
            if not isinstance(message, SlotHeaders):
                continue
            self.count += 1
            lies: list[Message] = [
                replace(message, headers=message.headers[1:]),
                replace(message, headers=message.headers[:-1]),
                replace(message, first=SequenceNumber(message.first + 1)),
                FetchVertices(hashes=(message.headers[0].hash,)) if message.headers else message,
            ]
            if self.before is not None:
                lies.append(replace(self.before, first=message.first))
            self.before = message
            yield lies[self.count % len(lies)]


class Cuts(SlotServer):
    """Every range without its lowest vertex, and no vertices."""

    def _stored(self, request: Serve) -> Iterator[Message]:
        for message in super()._stored(request):
            if isinstance(message, SlotHeaders):
                yield replace(message, headers=message.headers[1:])


class Stalls(SlotServer):
    """Never answers."""

    def _stored(self, request: Serve) -> Iterator[Message]:
        del request
        return iter(())


class Trickles(SlotServer):
    """Sends what was asked for, a vertex now and then."""

    def _stored(self, request: Serve) -> Iterator[Message]:
        for message in super()._stored(request):
            if isinstance(message, VertexMessage):
                time.sleep(TRICKLE_S)  # in a worker thread
            yield message


SERVERS: Final[Mapping[str, type[SlotServer]]] = {
    "lies": Lies,
    "cuts": Cuts,
    "stalls": Stalls,
    "trickles": Trickles,
}


def main() -> None:
    """Run the node's command line, behind the name of a server, with that server."""
    vars(assembly)["SlotServer"] = SERVERS[sys.argv.pop(1)]
    command_line.main()


if __name__ == "__main__":
    main()
