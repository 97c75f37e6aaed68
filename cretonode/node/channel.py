"""One peer's channel: hello, what waits to be sent, and the pace of sending it.

Messages that wait go out together: an idle channel sends at once, a busy one in fuller frames and
below the rate that the receiver allows.
"""

from typing import Final

import trio

from cretonode.errors import MalformedMessage
from cretonode.identifiers import NodeId, ValidatorIndex, View
from cretonode.limits import FRAME_BYTES_MAX
from cretonode.network.frames import PRIORITIES, Priority
from cretonode.network.peers import Peers
from cretonode.network.rate import TokenBucket
from cretonode.wire.frames import BUNDLE_MESSAGES_MAX, LENGTH_BYTES, pack_frames
from cretonode.wire.hello import Hello, check_hello, decode_hello_untrusted, encode_hello

WAITING_BYTES_MAX: Final = 16 * 1024 * 1024  # of one peer and class; past it what waits is dropped
FRAMES_PER_S: Final = 90.0  # the receiver reads 100
FRAMES_BURST: Final = 150
FRAME_AT_ONCE_BYTES_MAX: Final = FRAME_BYTES_MAX // 2  # with all lengths still one


class Channel:
    """To and from one validator. What is dropped or lost is asked for again by a Status."""

    def __init__(self, peer: ValidatorIndex, node_id: NodeId, hello: Hello) -> None:
        self.peer = peer
        self.node_id = node_id
        self.greeted = False  # the peer's hello has come and suits
        self.software = ""  # the peer's, by its last hello
        self.dropped_messages = 0
        self._hello = hello
        self._heard: set[Priority] = set()
        self._said: set[Priority] = set()
        self._waiting: dict[Priority, list[bytes]] = {priority: [] for priority in Priority}
        self._waiting_bytes = dict.fromkeys(Priority, 0)
        self._views: list[View | None] = []  # of each message that waits among the votes
        self._open = False
        self._busy = False  # `send_forever` has frames in hand
        self._fresh = False  # something was sent since the last `flush`
        self._bucket = TokenBucket(
            rate_per_s=FRAMES_PER_S, burst=FRAMES_BURST, now_s=trio.current_time()
        )
        self._wake = trio.Event()
        self._packed = trio.lowlevel.ParkingLot()

    @property
    def waiting_messages(self) -> int:
        """How many messages wait to be packed into a frame."""
        return sum(map(len, self._waiting.values()))

    async def wait_packed(self, priority: Priority) -> None:
        """Return when no message of a class waits, sent or lost."""
        while self._waiting[priority]:
            await self._packed.park()

    def connected(self) -> None:
        """A new connection: the hello goes first on each stream."""
        self._reset(open_=True)
        self._wake.set()

    def lost(self) -> None:
        """The connection is gone, and what waited for it."""
        self._reset(open_=False)

    def send(self, priority: Priority, message: bytes, *, view: View | None = None) -> None:
        """Let `message` go with the next frame of its class, which `flush` sends.

        `view`: the one in which it is a vote; in a later one nobody has a use for it.
        """
        if not self._open:
            return
        if self._waiting_bytes[priority] + len(message) > WAITING_BYTES_MAX:
            self.dropped_messages += len(self._waiting[priority])
            self._clear(priority)
        self._waiting[priority].append(message)
        if priority is Priority.VOTES:
            self._views.append(view)
        self._waiting_bytes[priority] += len(message)
        self._fresh = True

    def discard_votes_below(self, view: View) -> None:
        """Drop what waits to be said in views that this node has left."""
        if all(of is None or of >= view for of in self._views):
            return
        waiting = zip(self._waiting[Priority.VOTES], self._views, strict=True)
        kept = [(message, of) for message, of in waiting if of is None or of >= view]
        self._clear(Priority.VOTES)
        for message, of in kept:
            self.send(Priority.VOTES, message, view=of)

    def flush(self, peers: Peers) -> None:
        """Send what waits: at once when that is one frame and the pace allows it."""
        if not self._fresh:
            return
        self._fresh = False
        for priority in PRIORITIES:
            if self._waiting[priority] and not self._sent_at_once(peers, priority):
                self._wake.set()

    def is_hello_untrusted(self, priority: Priority, frame: bytes) -> bool:
        """True when `frame` is the first of its class, and then it is a hello that suits.

        Raises: PeerError, when it is the first and is not.
        """
        if priority in self._heard:
            return False
        try:
            theirs = decode_hello_untrusted(frame)
        except MalformedMessage as error:
            raise MalformedMessage(f"no hello first: {error}") from None
        check_hello(self._hello, theirs)
        self.software = theirs.software
        self._heard.add(priority)
        return True

    async def send_forever(self, peers: Peers) -> None:
        """Pack and send what waits, votes first."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            self._busy = True
            while self._next_priority() is not None:
                await trio.sleep(self._bucket.reserve_s(now_s=trio.current_time()))
                priority = self._next_priority()  # what waited may be discarded by now
                if priority is not None:
                    await self._offer(peers, priority, self._take_frame(priority))
            self._busy = False

    def _sent_at_once(self, peers: Peers, priority: Priority) -> bool:
        connection = peers.connection_to(self.node_id)
        if (
            self._busy
            or connection is None
            or priority not in self._said
            or self._waiting_bytes[priority] > FRAME_AT_ONCE_BYTES_MAX
            or len(self._waiting[priority]) > BUNDLE_MESSAGES_MAX
            or not self._bucket.take(now_s=trio.current_time())
        ):
            return False
        (frame,) = pack_frames(self._waiting[priority], FRAME_BYTES_MAX)
        if not connection.offer(priority, frame):
            return False
        self._clear(priority)
        return True

    def _next_priority(self) -> Priority | None:
        """Return the first class with something to send: votes before all, the greeting first."""
        if self._open and Priority.VOTES not in self._said:
            return Priority.VOTES
        return next((priority for priority in PRIORITIES if self._waiting[priority]), None)

    def _take_frame(self, priority: Priority) -> bytes:
        """Return the next frame of a class; what does not fit goes on waiting."""
        if priority not in self._said:
            self._said.add(priority)
            return encode_hello(self._hello)
        messages = self._waiting[priority]
        count = size = 0
        for message in messages[:BUNDLE_MESSAGES_MAX]:
            size += LENGTH_BYTES + len(message)
            if count and size > FRAME_BYTES_MAX:
                break
            count += 1
        (frame,) = pack_frames(messages[:count], FRAME_BYTES_MAX)
        self._waiting_bytes[priority] -= sum(map(len, messages[:count]))
        del messages[:count]
        if priority is Priority.VOTES:
            del self._views[:count]
        if not messages:
            self._packed.unpark_all()
        return frame

    async def _offer(self, peers: Peers, priority: Priority, frame: bytes) -> None:
        connection = peers.connection_to(self.node_id)
        if connection is None:
            return
        while not connection.offer(priority, frame):
            if not connection.is_established:
                return
            await connection.wait_drained(priority)

    def _reset(self, *, open_: bool) -> None:
        self._open = open_
        self.greeted = False
        self._heard = set()
        self._said = set()
        for priority in PRIORITIES:
            self._clear(priority)

    def _clear(self, priority: Priority) -> None:
        self._packed.unpark_all()
        self._waiting[priority] = []
        self._waiting_bytes[priority] = 0
        if priority is Priority.VOTES:
            self._views = []
