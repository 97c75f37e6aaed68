"""Fetching vertices whose hashes are certified: from several peers at once, handed on in order.

A header says how large its payload is, so what is under way or waits for its turn is counted in
bytes before it is asked for. Each request goes to one peer, which may not fall silent and has its
time as a whole: trickling does not prolong it for long. What came late or from another is taken
all the same, since its hash proves it. What a doubted peer is asked for, a trusted one is asked for
as well: nothing waits for who failed before.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from cretonode.core.effects import Reason, Refuse
from cretonode.core.intake import Intake
from cretonode.core.messages import FetchVertices, VertexMessage
from cretonode.core.state import NEVER_MS, State
from cretonode.core.suppliers import Suppliers
from cretonode.dag.vertex import Vertex
from cretonode.identifiers import SequenceNumber, ValidatorIndex, VertexHash
from cretonode.limits import (
    FETCH_HASHES_MAX,
    FETCH_REQUESTS_ALL,
    FETCH_WINDOW_BYTES_MAX,
    SIGNATURE_BYTES,
)


@dataclass(slots=True)
class Body:
    """A certified vertex that is not handed on yet."""

    rank: int  # its place in the order of finality, counted since the start
    sequence: SequenceNumber  # the last of its range: who is that far has it
    vertex: Vertex
    message: VertexMessage | None = None
    sender: ValidatorIndex | None = None

    @property
    def bytes(self) -> int:
        """About what it takes on the wire and in memory."""
        return self.vertex.payload_bytes + SIGNATURE_BYTES


@dataclass(slots=True)
class Request:
    """Vertices asked of one peer."""

    peer: ValidatorIndex
    lacking: set[VertexHash]
    asked_ms: int
    limit_ms: int  # by then it must be whole
    spare: bool = False  # others are asked for the same: it counts only what this peer sends
    overtaken_ms: int | None = None  # since the peer answers what it was asked for later


@dataclass(slots=True)
class Bodies:
    """Bound: HEADERS_AHEAD_MAX and one range of headers; FETCH_WINDOW_BYTES_MAX of bodies."""

    state: State
    intake: Intake
    suppliers: Suppliers
    fetched: int = 0  # vertices that came, since the start
    fetched_bytes: int = 0
    failures: int = 0  # requests that were not answered in time, since the start
    _by_hash: dict[VertexHash, Body] = field(default_factory=dict)
    _order: deque[Body] = field(default_factory=deque)
    _unasked: list[tuple[int, VertexHash]] = field(default_factory=list)  # heap, lowest rank first
    _begun: int = 0  # ranks below were asked for at least once, and count in the window
    _window_bytes: int = 0
    _requests: list[Request] = field(default_factory=list)
    _rank: int = 0

    def __len__(self) -> int:
        return len(self._order)

    @property
    def window_bytes(self) -> int:
        """What is asked for, or here and not handed on."""
        return self._window_bytes

    @property
    def is_busy(self) -> bool:
        """True when `advance` may have something to do, now or later."""
        return bool(self._order or self._requests or self._unasked)

    def lacks(self, vertex: VertexHash) -> bool:
        """True when `vertex` is certified and did not come yet."""
        body = self._by_hash.get(vertex)
        return body is not None and body.message is None

    def add(self, vertices: tuple[Vertex, ...], last: SequenceNumber) -> None:
        """Fetch `vertices`, which follow those added before in the order of finality."""
        for vertex in vertices:
            if vertex.hash in self._by_hash or self.state.graph.knows(vertex.hash):
                continue
            if vertex.hash in self.state.graph.orphans:
                self.state.graph.mark_wanted(vertex.hash)
            body = Body(self._rank, last, vertex)
            self._rank += 1
            self._by_hash[vertex.hash] = body
            self._order.append(body)
            self.intake.certified.add(vertex.hash)
            heapq.heappush(self._unasked, (body.rank, vertex.hash))

    def on_vertex(self, sender: ValidatorIndex, message: VertexMessage) -> bool:
        """Take a vertex that was waited for; False when it was not."""
        vertex = message.vertex.hash
        self._note_answer(sender, vertex)
        body = self._by_hash.get(vertex)
        if body is None or body.message is not None:
            return False
        body.message, body.sender = message, sender
        self.fetched += 1
        self.fetched_bytes += body.bytes
        self._hand_on()
        return True

    def _note_answer(self, sender: ValidatorIndex, vertex: VertexHash) -> None:
        """Take `vertex` off what `sender` owes. It answers in turn: what is overtaken got lost."""
        earlier: list[Request] = []
        for request in self._requests:
            if request.peer != sender:
                continue
            if vertex not in request.lacking:
                earlier.append(request)
                continue
            request.lacking.discard(vertex)
            self.suppliers.heard(sender)
            if request.lacking:
                return  # a single one may have come on its own
            for overtaken in earlier:
                overtaken.overtaken_ms = overtaken.overtaken_ms or self.state.now_ms

    def advance(self) -> None:
        """Give up what took too long, and ask for as much as there is room for."""
        self._hand_on()
        self._review()
        self._ask_for_more()
        self._try_doubted()

    def _ask_for_more(self) -> None:
        while self._unasked:
            body = self._next_unasked()
            if body is None:
                return
            if body.rank >= self._begun and not self._has_room(body):
                return
            peer = self.suppliers.choose(body.sequence)
            if peer is None:
                return
            self._ask(peer)

    def next_deadline_ms(self) -> int:
        """When a peer has had its time."""
        return min(map(self._deadline_ms, self._requests), default=NEVER_MS)

    # --- handing on

    def _hand_on(self) -> None:
        """Let the next ones in their order into the graph; what got there otherwise is done."""
        while self._order:
            body = self._order[0]
            known = self.state.graph.knows(body.vertex.hash)
            if body.message is None and not known:
                return
            self._order.popleft()
            del self._by_hash[body.vertex.hash]
            if body.rank < self._begun:
                self._window_bytes -= body.bytes
            if known:
                if body.vertex.hash in self.state.graph.final:
                    self.intake.certified.discard(body.vertex.hash)
            elif body.message is not None and body.sender is not None:
                self.intake.on_vertex(body.sender, body.message)

    # --- asking

    def _review(self) -> None:
        """Close requests that are answered, or whose peer is gone or too slow."""
        state = self.state
        kept: list[Request] = []
        for request in self._requests:
            peer = request.peer
            if not request.spare:
                request.lacking = {vertex for vertex in request.lacking if self.lacks(vertex)}
            is_late = state.now_ms >= self._deadline_ms(request)
            if is_late and request.lacking:
                self.failures += 1
                self.suppliers.failed(peer, since_ms=request.asked_ms)
                state.emit(Refuse(peer, Reason.TOO_SLOW))
                is_late = not self._waits_on(request)
            if request.lacking and peer in state.connected and not is_late:
                kept.append(request)
                continue
            self.suppliers.ended(peer)
            if not request.lacking:
                self.suppliers.served(peer)
            else:
                self._ask_again(request)
        self._requests = kept
        for request in kept:
            if request.spare or not self.suppliers.is_doubted(request.peer):
                continue
            if self.suppliers.has_trusted(self._last_of(request)):
                self._ask_again(request)
                request.spare = True

    def _waits_on(self, request: Request) -> bool:
        """Go on waiting for a silent peer when nobody is better: what it owes is on its way, and
        would come twice.
        """
        if request.spare or self.state.now_ms >= request.limit_ms:
            return False
        if request.overtaken_ms is not None:
            return False
        better = self.suppliers.choose(self._last_of(request), spare=FETCH_REQUESTS_ALL)
        if better != request.peer:
            return False
        request.asked_ms = self.state.now_ms
        return True

    def _last_of(self, request: Request) -> SequenceNumber:
        """Return how far a peer must be to have all that `request` lacks."""
        return max(self._by_hash[vertex].sequence for vertex in request.lacking)

    def _ask_again(self, request: Request) -> None:
        """Let others be asked for what `request` lacks, unless they are already."""
        if not request.spare:
            for vertex in sorted(request.lacking):
                heapq.heappush(self._unasked, (self._by_hash[vertex].rank, vertex))

    def _try_doubted(self) -> None:
        """Ask who failed, and has rested, for what a trusted peer was asked for last."""
        for request in reversed(self._requests):
            if request.spare or not request.lacking or self.suppliers.is_doubted(request.peer):
                continue
            bodies = sorted((self._by_hash[v] for v in request.lacking), key=lambda b: -b.rank)
            peer = self.suppliers.on_trial(bodies[0].sequence)
            if peer is None:
                return
            size, fitting = 0, list[Body]()
            for body in bodies:
                size += body.bytes
                if fitting and size > self.suppliers.bytes_max(peer):
                    break
                fitting.append(body)
            self._send_request(peer, fitting, spare=True)
            return

    def _deadline_ms(self, request: Request) -> int:
        """Silence ends it early, and so does being overtaken; a trickle prolongs it only so far."""
        peer = request.peer
        heard_ms = max(request.asked_ms, self.suppliers.heard_ms(peer))
        deadline_ms = min(heard_ms + self.suppliers.silence_ms, request.limit_ms)
        if request.overtaken_ms is not None:
            return min(deadline_ms, request.overtaken_ms + self.state.timing.fetch_timeout_ms)
        return deadline_ms

    def _next_unasked(self) -> Body | None:
        """Return the lowest that is not asked for, leaving it in its place."""
        while self._unasked:
            body = self._by_hash.get(self._unasked[0][1])
            if body is not None and body.message is None:
                return body
            heapq.heappop(self._unasked)
        return None

    def _has_room(self, body: Body) -> bool:
        return not self._window_bytes or self._window_bytes + body.bytes <= FETCH_WINDOW_BYTES_MAX

    def _ask(self, peer: ValidatorIndex) -> None:
        self._send_request(peer, list(self._take(peer)), spare=False)

    def _send_request(self, peer: ValidatorIndex, bodies: list[Body], *, spare: bool) -> None:
        hashes = tuple(body.vertex.hash for body in bodies)
        now_ms = self.state.now_ms
        limit_ms = now_ms + self.suppliers.limit_ms(peer, sum(body.bytes for body in bodies))
        self._requests.append(Request(peer, set(hashes), now_ms, limit_ms, spare))
        self.suppliers.asked(peer)
        self.state.send(peer, FetchVertices(hashes=hashes))

    def _take(self, peer: ValidatorIndex) -> Iterator[Body]:
        """Yield the lowest that fit one request and that `peer` has."""
        count = size = 0
        while (body := self._next_unasked()) is not None:
            is_new = body.rank >= self._begun
            if count and (
                count == FETCH_HASHES_MAX
                or size + body.bytes > self.suppliers.bytes_max(peer)
                or self.suppliers.finals.get(peer, 0) < body.sequence
                or (is_new and not self._has_room(body))
            ):
                return
            heapq.heappop(self._unasked)
            if is_new:
                self._begun = body.rank + 1
                self._window_bytes += body.bytes
            count += 1
            size += body.bytes
            yield body
