"""Every error of the project: the class says whose fault it is and so who acts."""


class CretoError(Exception):
    """Base of all errors this project raises on purpose."""


class ConfigError(CretoError):
    """The operator's files, flags or environment are wrong. Exit code 2."""


class KeyStoreError(ConfigError):
    """A key file is missing, unreadable, open to others, or needs another passphrase."""


class StorageError(CretoError):
    """Our disk failed or lies. Stop before the node does."""


class CorruptionError(StorageError):
    """Stored bytes fail their checksum, hash or signature. Names the record."""


class NetworkError(CretoError):
    """Our own socket or address is unusable."""


class AddressError(NetworkError, ConfigError):
    """The address to listen on is taken, or not this machine's. Exit code 2."""


class PeerError(CretoError):
    """A peer broke the protocol or went away. Drop that peer and go on."""


class MalformedMessage(PeerError):
    """Bytes that no honest replica sends."""


class BadSignature(PeerError):
    """A signature, or the key it should verify under, is wrong."""


class ConnectionLost(PeerError):
    """The connection to a peer ended: closed, refused, timed out."""


class KeyInUse(ConnectionLost):
    """The peer is connected to another process with our key."""


class KeyElsewhere(ConfigError):
    """Another process works with this node's key. Two would contradict each other."""


class OtherIncarnation(PeerError):
    """The peer is in another incarnation of the network: one of the two has missed a recovery."""

    def __init__(self, text: str, incarnation: int) -> None:
        super().__init__(text)
        self.incarnation = incarnation  # the peer's


class TurnedAway(ConnectionLost):
    """The peer has banned this node, and says why."""


class ClientError(CretoError):
    """An application's request cannot be served; the text says why and what is allowed."""


class Backpressure(ClientError):
    """Nothing was accepted because too much waits already. Try again later."""


class NotReady(ClientError):
    """The node cannot take part now; the text says why. Ask another."""


class ForkError(CretoError):
    """A commit certificate contradicts the own final chain: more than f validators lied.

    The node halts; the evidence names them.
    """
