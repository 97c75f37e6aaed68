"""`cretonode recover`: what would restart a network of which too many forgot. It refuses."""

from typing import Final

import click

from cretonode.cli.base import reported
from cretonode.errors import ConfigError


@click.command()
@reported
def recover() -> None:
    """Restart a network of which more than n - q validators lost their journals: NOT BUILT YET.

    Up to n - q lost journals need no command: such a node starts as an amnesiac and finds back by
    itself. More of them at once need a new incarnation of the network, agreed on and signed by q
    operators. This version cannot make one, and refuses. Keep every data directory as it is:
    what was final is in the databases of those that still have one.
    """
    raise ConfigError(
        "recover is not built yet; nothing was changed. Up to n - q nodes that lost their vote "
        "journals find back by themselves once they run; more than that cannot with this version. "
        "Keep all data directories as they are"
    )


COMMANDS: Final = (recover,)
