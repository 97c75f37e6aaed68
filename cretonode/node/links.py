"""All peers' channels: frames in become verified events, effects out become messages.

Satisfies `network.peers.PeerEvents`. What a peer gets wrong raises PeerError to its own link and
ends there.
"""

from collections.abc import Callable
from typing import Final

import structlog
import trio

from cretonode.core.committee import Committee
from cretonode.core.events import PeerConnected, PeerSilent, Received
from cretonode.core.messages import (
    Commit,
    Message,
    Prepare,
    PrePrepare,
    Status,
    Suspect,
    VertexMessage,
    Vote,
)
from cretonode.core.reputation import Violation
from cretonode.errors import BadSignature, MalformedMessage, OtherIncarnation
from cretonode.identifiers import Incarnation, NodeId, SequenceNumber, ValidatorIndex, View
from cretonode.network.frames import Priority
from cretonode.network.peers import Peers
from cretonode.network.quic_engine import CloseKind
from cretonode.network.rate import TokenBucket
from cretonode.node.channel import Channel
from cretonode.node.conduct import Conduct
from cretonode.node.inbox import Inbox
from cretonode.node.verification import Verification
from cretonode.wire.frames import unpack_frame_untrusted
from cretonode.wire.hello import hello_of
from cretonode.wire.messages import encode_message

VERIFY_THREADS: Final = 2
SMALL_FRAME_BYTES: Final = 12_288  # two signatures at most: under a millisecond to verify
SMALL_FRAMES_PER_S: Final = 200.0  # so at most a fifth of the event loop's time
SMALL_FRAMES_BURST: Final = 20
SILENCE_CHECK_S: Final = 0.05
SILENCE_MS_MIN: Final = 300.0  # keep-alives come every 125 ms or sooner

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Links:
    """The other validators, by index."""

    def __init__(
        self,
        *,
        committee: Committee,
        me: ValidatorIndex,
        node_ids: tuple[NodeId, ...],
        software: str,
        inbox: Inbox,
        verification: Verification,
        on_violation: Callable[[ValidatorIndex, Violation, str], None],
        on_unbelieved: Callable[[Vote, bool], None] = lambda _vote, _surplus: None,
    ) -> None:
        """`on_unbelieved` hears of votes the replica does not see: surplus ones and bad ones."""
        hello = hello_of(committee, software)
        self.incarnation = max(committee.incarnations)
        self.channels = {
            ValidatorIndex(i): Channel(ValidatorIndex(i), node_id, hello)
            for i, node_id in enumerate(node_ids)
            if i != me
        }
        self.heard: dict[ValidatorIndex, tuple[View, SequenceNumber]] = {}  # by their own word
        self.recovered: dict[ValidatorIndex, Incarnation] = {}  # who is in a later incarnation
        self.invalid_signatures = 0
        self._index_of = {node_id: ValidatorIndex(i) for i, node_id in enumerate(node_ids)}
        self._inbox = inbox
        self._verification = verification
        self._on_violation = on_violation
        self._on_unbelieved = on_unbelieved
        self._conduct = {peer: Conduct(peer) for peer in self.channels}
        self._limiter = trio.CapacityLimiter(VERIFY_THREADS)
        self._small_frames = TokenBucket(
            rate_per_s=SMALL_FRAMES_PER_S, burst=SMALL_FRAMES_BURST, now_s=trio.current_time()
        )
        self._silent: set[ValidatorIndex] = set()
        self._peers: Peers | None = None  # until `run`

    def connected(self) -> list[ValidatorIndex]:
        """Return the validators whose hello has come."""
        return [peer for peer, channel in self.channels.items() if channel.greeted]

    @property
    def verified_signatures(self) -> int:
        """How many signatures were checked and good. Since the start."""
        return self._verification.verified_signatures

    # --- out

    def broadcast(self, message: Message) -> None:
        """Send to every validator, with the next `flush`."""
        encoded = encode_message(message)
        priority = priority_of(message)
        view = view_of_vote(message)
        for channel in self.channels.values():
            channel.send(priority, encoded, view=view)

    def send(self, peer: ValidatorIndex, message: Message) -> None:
        """Send to one validator, with the next `flush`."""
        self._conduct[peer].asked(message)
        encoded = encode_message(message)
        self.channels[peer].send(priority_of(message), encoded, view=view_of_vote(message))

    def discard_votes_below(self, view: View) -> None:
        """Drop what waits to be said in views that this node has left."""
        for channel in self.channels.values():
            channel.discard_votes_below(view)

    def view_entered(self) -> None:
        """Note that this node entered a view: so will the others."""
        for conduct in self._conduct.values():
            conduct.view_entered()

    def flush(self) -> None:
        """Let go what was sent since the last call, all of one turn together."""
        if self._peers is not None:
            for channel in self.channels.values():
                channel.flush(self._peers)

    async def run(self, peers: Peers) -> None:
        """Own the sending tasks and the watch for silence."""
        self._peers = peers
        async with trio.open_nursery() as nursery:
            for channel in self.channels.values():
                nursery.start_soon(channel.send_forever, peers, name=f"send {channel.peer}")
            nursery.start_soon(self._watch_silence, peers, name="watch silence")

    # --- in: network.peers.PeerEvents

    def on_connected(self, peer: NodeId) -> None:
        """Greet."""
        index = self._index_of[peer]
        self.channels[index].connected()
        self._conduct[index].reset()

    def on_lost(self, peer: NodeId, reason: str) -> None:
        """Tell the core that nothing comes any more."""
        index = self._index_of[peer]
        log.debug("link_lost", peer=index, reason=reason)
        self._check_end(index, reason)
        if self.channels[index].greeted:
            self._silent.add(index)
            self._inbox.put_own(PeerSilent(index))
        self.channels[index].lost()

    async def on_frame(self, peer: NodeId, priority: Priority, frame: bytes) -> None:
        """Verify a frame, in a worker thread unless small, and put its messages into the inbox.

        Raises: PeerError, which ends the connection.
        """
        index = self._index_of[peer]
        channel = self.channels[index]
        if self._is_hello_untrusted(channel, priority, frame):
            if priority is Priority.VOTES:
                channel.greeted = True
                self._silent.discard(index)
                self.recovered.pop(index, None)
                self._inbox.put_own(PeerConnected(index))
            return
        try:
            encoded = unpack_frame_untrusted(frame)
            if self._is_small(frame):
                messages = self._verification.messages_untrusted(encoded, index)
            else:
                messages = await trio.to_thread.run_sync(
                    self._verification.messages_untrusted, encoded, index, limiter=self._limiter
                )
        except BadSignature as error:
            self.invalid_signatures += 1
            self._on_violation(index, Violation.INVALID_SIGNATURE, str(error))
            raise
        except MalformedMessage as error:
            self._on_violation(index, Violation.MALFORMED, str(error))
            raise
        finally:
            while self._verification.unbelieved:
                self._on_unbelieved(*self._verification.unbelieved.popleft())
        for violation, detail in self._conduct[index].heard(encoded, messages):
            self._on_violation(index, violation, detail)
        for message in messages:
            if isinstance(message, Status):
                self.heard[index] = (message.view, message.final)
        await self._inbox.put(index, [Received(index, message) for message in messages])

    def _is_small(self, frame: bytes) -> bool:
        """Whether to verify on the event loop: for a vote or two the way to a thread and back
        costs more than the signatures. A busy node has no such frames to spare a thread for.
        """
        return len(frame) <= SMALL_FRAME_BYTES and self._small_frames.take(
            now_s=trio.current_time()
        )

    def _is_hello_untrusted(self, channel: Channel, priority: Priority, frame: bytes) -> bool:
        """As `Channel.is_hello_untrusted`. Another hello is no misbehaviour, no hello at all is."""
        try:
            return channel.is_hello_untrusted(priority, frame)
        except OtherIncarnation as error:
            self._note_incarnation(channel.peer, Incarnation(error.incarnation))
            raise
        except MalformedMessage as error:
            self._on_violation(channel.peer, Violation.MALFORMED, str(error))
            raise

    def _note_incarnation(self, peer: ValidatorIndex, theirs: Incarnation) -> None:
        """Remember, and log once, that a peer says it has been recovered and this node has not."""
        if theirs > self.incarnation and self.recovered.get(peer) != theirs:
            self.recovered[peer] = theirs
            log.error(
                "recovery_missed",
                peer=peer,
                theirs=theirs,
                ours=self.incarnation,
                remedy="get the recovery file from its operator; `cretonode recover apply FILE`",
            )

    def _check_end(self, peer: ValidatorIndex, reason: str) -> None:
        """Note a connection that we ended for bytes below the frames: too long, not allowed."""
        connection = self._peers and self._peers.connection_to(self.channels[peer].node_id)
        closed = connection.close_reason if connection else None
        if closed is not None and closed.kind is CloseKind.MALFORMED and not closed.by_peer:
            self._on_violation(peer, Violation.MALFORMED, reason)

    async def _watch_silence(self, peers: Peers) -> None:
        """Tell the core when a connected peer falls silent, and when it is heard again.

        Once is not enough: after a standstill of our own everybody seems silent until the socket
        has been read.
        """
        doubted: set[ValidatorIndex] = set()
        while True:
            await trio.sleep(SILENCE_CHECK_S)
            for peer, channel in self.channels.items():
                connection = peers.connection_to(channel.node_id)
                if connection is None or not channel.greeted:
                    continue
                patience_ms = max(
                    SILENCE_MS_MIN,
                    connection.round_trip_ms + 4 * connection.round_trip_variance_ms,
                )
                if connection.silence_ms > patience_ms:
                    if peer in doubted and peer not in self._silent:
                        self._silent.add(peer)
                        self._inbox.put_own(PeerSilent(peer))
                    doubted.add(peer)
                    continue
                doubted.discard(peer)
                if peer in self._silent:
                    self._silent.discard(peer)
                    self._inbox.put_own(PeerConnected(peer))


def view_of_vote(message: Message) -> View | None:
    """Return the view that a vote is cast in, and that alone gives it a meaning."""
    return message.view if isinstance(message, PrePrepare | Prepare | Commit | Suspect) else None


def priority_of(message: Message) -> Priority:
    """Return the class a message travels in: payloads never stand in a vote's way."""
    return Priority.VERTICES if isinstance(message, VertexMessage) else Priority.VOTES
