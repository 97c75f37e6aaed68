"""What an endpoint has counted since it opened. Read by the metrics; never reset."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class EndpointCounters:
    """Keys of the counters by reason are fixed labels: `CloseKind` values, or as noted."""

    bytes_in: int = 0
    bytes_out: int = 0
    datagrams_in: int = 0
    datagrams_out: int = 0
    retries_sent: int = 0
    handshakes_begun: int = 0
    handshakes_completed: int = 0
    handshakes_refused: Counter[str] = field(default_factory=Counter)  # by why
    connections_ended: Counter[str] = field(default_factory=Counter)  # by why, once established
    datagrams_dropped: Counter[str] = field(default_factory=Counter)  # by `admission.Drop`, "send"
    engine_faults: Counter[str] = field(default_factory=Counter)  # by where the engine raised
