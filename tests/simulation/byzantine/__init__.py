"""Malicious validators, by name."""

from typing import Final

from tests.simulation.byzantine.behaviour import Behaviour
from tests.simulation.byzantine.catch_up import LiesInRanges, Stalls, Trickles
from tests.simulation.byzantine.changing_views import (
    BaseToOne,
    ForgesCertificates,
    Forgets,
    HidesCertificate,
    TwoBases,
    TwoViewChanges,
)
from tests.simulation.byzantine.floods import CopiesTransactions, FarViews, Oversized
from tests.simulation.byzantine.helping import LiesAboutHeight
from tests.simulation.byzantine.leading import (
    Censors,
    CertificateToOne,
    LeadsSlowly,
    NamesWrongParent,
    ProposesLate,
    SplitsAnchors,
)
from tests.simulation.byzantine.rejoining import AsksToRejoin, AttestsLow
from tests.simulation.byzantine.vertices import LacksParents, TwoVertices
from tests.simulation.byzantine.voting import EchoesVotes, VotesTwice

BEHAVIOURS: Final[dict[str, type[Behaviour]]] = {
    "splits anchors": SplitsAnchors,
    "names wrong parent": NamesWrongParent,
    "certificate to one": CertificateToOne,
    "proposes late": ProposesLate,
    "censors": Censors,
    "echoes votes": EchoesVotes,
    "votes twice": VotesTwice,
    "hides certificate": HidesCertificate,
    "two view-changes": TwoViewChanges,
    "forgets": Forgets,
    "forges certificates": ForgesCertificates,
    "two bases": TwoBases,
    "two vertices": TwoVertices,
    "lacks parents": LacksParents,
    "far views": FarViews,
    "copies transactions": CopiesTransactions,
    "oversized": Oversized,
    "lies about height": LiesAboutHeight,
    "lies in ranges": LiesInRanges,
    "stalls": Stalls,
    "trickles": Trickles,
}
# These wait for what only a world can bring about (`schemes`), or for faults that are never drawn
# beside a liar in real processes.
SCHEMING: Final[dict[str, type[Behaviour]]] = {
    "attests low": AttestsLow,
    "asks to rejoin": AsksToRejoin,
    "base to one": BaseToOne,
    "leads slowly": LeadsSlowly,
}
EVERY: Final[dict[str, type[Behaviour]]] = BEHAVIOURS | SCHEMING
