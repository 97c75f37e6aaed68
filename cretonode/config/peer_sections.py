"""The sections of node.toml about taking part: [consensus], [network], [crypto].

What is said of a key stands here once; its checks, configs/node.toml and docs/config.md follow.
Source: SPEC, "Configuration keys".
"""

from dataclasses import dataclass, field
from typing import Final

from cretonode.config import addresses, forms
from cretonode.config.addresses import PORT_MAX, Address
from cretonode.config.keys import about
from cretonode.core.committee import THRESHOLD_DEFAULT
from cretonode.core.state import Timing
from cretonode.crypto.providers import DEFAULT_PROVIDER, PROVIDER_NAMES
from cretonode.limits import PAYLOAD_TRANSACTIONS_MAX

KEEPALIVE_MS_MAX: Final = 124  # two of them, each up to 25 ms late, before a leader's 300 ms pass
NO_DISCOVERY: Final = "discovery is not built yet; peers are the validators that genesis lists"
NO_NAT: Final = "NAT traversal is not built yet; validators need addresses that reach each other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusSection:
    """How this node takes part in ordering. Genesis fixes the rules that all must share."""

    algorithm: str = field(
        default="bft", metadata=about("The consensus protocol.", choices=("bft",))
    )
    quorum_threshold: float = field(
        default=THRESHOLD_DEFAULT,
        metadata=about(
            "The share of the validators that makes a quorum; it may only raise what safety "
            "needs. Genesis fixes it; if it is set here, it must be the same.",
            low=2 / 3,
            high=1,
        ),
    )
    finality_timeout_ms: int = field(
        default=500,
        metadata=about(
            "A vertex that is not final for so long is sent to the leader again, and counts as "
            "late.",
            low=10,
            high=60_000,
            unit="milliseconds",
        ),
    )
    max_pending_vertices: int = field(
        default=10_000,
        metadata=about(
            "How many transactions that this node took may wait for finality before it refuses "
            "new ones; each counts, however they are packed into vertices.",
            low=1,
            high=1_000_000,
            unit="transactions",
        ),
    )
    view_change_timeout_ms: int = field(
        default=5_000,
        metadata=about(
            "A vertex that is not final for so long makes this node ask for another leader.",
            low=10,
            high=60_000,
            unit="milliseconds",
        ),
    )
    slot_interval_ms: int = field(
        default=100,
        metadata=about(
            "The time between a leader's proposals under load; with little to order none is kept.",
            low=1,
            high=10_000,
            unit="milliseconds",
        ),
    )
    batch_interval_ms: int = field(
        default=20,
        metadata=about(
            "How long submitted transactions may wait for company before they become a vertex.",
            low=0,
            high=10_000,
            unit="milliseconds",
        ),
    )
    batch_transactions_max: int = field(
        default=1_000,
        metadata=about(
            "How many transactions become one vertex at most.",
            low=1,
            high=PAYLOAD_TRANSACTIONS_MAX,
            unit="transactions",
        ),
    )

    detection_window_ms: int = field(
        default=600_000,
        metadata=about(
            "Within this time a validator's violations are forgotten, little by little.",
            low=1_000,
            high=86_400_000,
            unit="milliseconds",
        ),
    )
    ban_ms: int = field(
        default=3_600_000,
        metadata=about(
            "How long the first ban of a validator lasts; each further one lasts twice as long, up "
            "to 32 times.",
            low=1_000,
            high=2_592_000_000,
            unit="milliseconds",
        ),
    )

    @property
    def timing(self) -> Timing:
        """The core's clockwork as this section sets it."""
        return Timing(
            finality_timeout_ms=self.finality_timeout_ms,
            view_change_timeout_ms=self.view_change_timeout_ms,
            slot_interval_ms=self.slot_interval_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSection:
    """How this node reaches the others."""

    listen_addr: str = field(
        default="0.0.0.0:9000",
        metadata=about(
            "The address to bind. QUIC uses quic_port on this host; the port here is kept for "
            "QUIC carried over TCP, where a network blocks UDP.",
            form=forms.LISTEN_ADDRESS,
        ),
    )
    quic_port: int = field(
        default=9001, metadata=about("The UDP port of QUIC.", low=1, high=PORT_MAX)
    )
    quic_engine: str = field(
        default="aioquic",
        metadata=about("The implementation of QUIC.", choices=("aioquic",)),
    )
    keepalive_ms: int = field(
        default=100,
        metadata=about(
            "A connection on which nothing was sent for so long sends something, so that silence "
            "tells of a fault.",
            low=25,
            high=KEEPALIVE_MS_MAX,
            unit="milliseconds",
        ),
    )
    bootstrap_peers: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Addresses of peers to try first.", form=forms.PEER_ADDRESS, effect=NO_DISCOVERY
        ),
    )
    max_peers: int = field(
        default=50,
        metadata=about(
            "How many peers may be connected besides the validators, who always have room.",
            low=0,
            high=1_000,
            unit="peers",
            effect=NO_DISCOVERY,
        ),
    )
    mdns_enabled: bool = field(
        default=True,
        metadata=about("Whether to look for peers on the local network.", effect=NO_DISCOVERY),
    )
    enable_nat_traversal: bool = field(
        default=True,
        metadata=about("Whether to find a way through address translation.", effect=NO_NAT),
    )
    stun_servers: tuple[str, ...] = field(
        default=("stun.l.google.com:19302",),
        metadata=about(
            "Servers that tell a node its public address.",
            form=forms.DIALLED_ADDRESS,
            needs="network.enable_nat_traversal",
            effect=NO_NAT,
        ),
    )

    @property
    def listen_address(self) -> Address:
        """`listen_addr`, parsed: the host to bind, and the TCP port."""
        return addresses.parse_host_port(self.listen_addr)

    @property
    def quic_address(self) -> Address:
        """Where QUIC listens."""
        return Address(self.listen_address.host, self.quic_port)

    @property
    def bootstrap_addresses(self) -> tuple[Address, ...]:
        """`bootstrap_peers`, parsed."""
        return tuple(map(addresses.parse, self.bootstrap_peers))

    @property
    def stun_addresses(self) -> tuple[Address, ...]:
        """`stun_servers`, parsed."""
        return tuple(map(addresses.parse_host_port, self.stun_servers))


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoSection:
    """Algorithms, and this node's key. Genesis fixes the algorithms."""

    signature_algorithm: str = field(
        default="ml-dsa-87",
        metadata=about("The post-quantum signature.", choices=("ml-dsa-87",)),
    )
    kem_algorithm: str = field(
        default="ml-kem-768",
        metadata=about("The post-quantum half of the key exchange.", choices=("ml-kem-768",)),
    )
    hash_algorithm: str = field(
        default="blake3", metadata=about("The hash function.", choices=("blake3",))
    )
    hybrid_mode: bool = field(
        default=True,
        metadata=about(
            "Whether every signature is Ed25519 and ML-DSA-87 together. Genesis fixes it; if it "
            "is set here, it must be the same."
        ),
    )
    key_path: str = field(
        default="/data/keys",
        metadata=about("The directory of this node's key files, mode 0700.", form=forms.PATH),
    )
    passphrase_file: str = field(
        default="",
        metadata=about(
            "The file with the passphrase of the key, a line end after it or not; empty for a key "
            "without one.",
            form=forms.PATH_OR_EMPTY,
        ),
    )
    provider: str = field(
        default=DEFAULT_PROVIDER,
        metadata=about("The implementation of ML-DSA-87 and ML-KEM-768.", choices=PROVIDER_NAMES),
    )
