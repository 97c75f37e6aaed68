"""The files made from the schema: configs/node.toml and docs/config.md.

`python -m cretonode.config.reference ROOT` writes them under ROOT; a test compares them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cretonode.config.keys import Key
from cretonode.config.render import render_node_toml, summary_of, toml_of
from cretonode.config.schema import KEYS, PROFILES, SECTIONS

_INTRODUCTION: Final = """\
# Configuration

Made from `cretonode/config/` by `python -m cretonode.config.reference .`; change it there.

A node reads one TOML file, [configs/node.toml](../configs/node.toml) with every key and its
default. What is stronger replaces what is weaker, key by key:

1. the defaults below;
2. the file;
3. the environment variables `NODE_ID` (for `node.id`) and `BOOTSTRAP_PEERS`;
4. the environment variables `CRETO_<SECTION>_<KEY>`, for example `CRETO_NODE_LOG_LEVEL`;
5. flags of the command line.

`cretonode config show` prints every value with where it came from. No key holds a secret: a key
names the file that does, such as `crypto.passphrase_file`.

In variables, a truth value is `true` or `false`, and a list is separated by commas. A variable
`CRETO_<SECTION>_...` that names no key is an error. In Kubernetes, `enableServiceLinks: false`
keeps the variables of a service such as `creto-api` out of the pod.

An unknown section or key, a wrong type and a value out of range are errors. All of them are
reported at once, one sentence a line: the file, variable or flag, the key, the value, and what is
allowed. The exit code is 2. So it is for an address that cannot be listened on, and for a data
directory or key that is another node's, cannot be used, or (at `init`) holds foreign things.

Addresses are `host:port` (an IPv6 host in brackets: `[::1]:9001`) or, for `bootstrap_peers`, also
`/ip4/172.21.0.11/udp/9001/quic`; `ip6` and `dns` go like `ip4`.

What all validators must share (quorum threshold, window, checkpoint interval, dedup window, crypto
mode) stands in [genesis](genesis.md). `consensus.quorum_threshold`, `crypto.hybrid_mode` and
`crypto.signature_algorithm` may be set here as well; a node whose settings differ from its genesis
does not start.
"""
_RELATIONS: Final = """\
## Between keys

- `consensus.finality_timeout_ms` is at most `consensus.view_change_timeout_ms`;
  `consensus.slot_interval_ms` and `consensus.batch_interval_ms` are at most
  `consensus.finality_timeout_ms`.
- The port of `network.listen_addr`, `metrics.port` and `api.http_port` differ, as far as they are
  in use: all are TCP. `network.quic_port` is UDP, so it may have the number of one of them.
- `storage.path`, `crypto.key_path` and a local `backup.path` are three directories, none inside
  another, and `node.data_dir` is in none of them.
- `backup.retention_days` are at least `backup.interval_hours`.
"""


def render_reference() -> str:
    """Return the text of docs/config.md."""
    sections = (_section(section) for section in SECTIONS)
    return "\n".join([_INTRODUCTION, *sections, _profiles(), _RELATIONS])


def rendered_files() -> Mapping[str, str]:
    """Return the text of each file made from the schema, by its path in the project."""
    return {"configs/node.toml": render_node_toml(), "docs/config.md": render_reference()}


def _section(section: str) -> str:
    rows = (_row(key) for key in KEYS.values() if key.section == section)
    heading = [f"## [{section}]", "", summary_of(section), ""]
    table = ["| key | default | allowed | meaning |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(heading + table) + "\n"


def _row(key: Key) -> str:
    meaning = key.about.doc
    if key.about.needs:
        meaning += f" Only with `{key.about.needs}`."
    if key.about.effect is not None:
        meaning += f" **No effect yet:** {key.about.effect}."
    return f"| `{key.name}` | `{toml_of(key.default)}` | {key.allowed} | {meaning} |"


def _profiles() -> str:
    lines = ["## Profiles of storage", ""]
    for name, values in PROFILES.items():
        sizes = (f"`{KEYS[path].name}` {toml_of(value)}" for path, value in values.items())
        lines.append(f"- `{name}`: {', '.join(sizes) or 'the defaults above'}.")
    lines += ["", "A size that is set where the profile is set, or in a stronger place, wins over"]
    lines += ["the profile; one that is set in a weaker place does not."]
    return "\n".join(lines) + "\n"


def main(root: Path) -> None:
    """Write every file made from the schema under `root`."""
    for name, text in rendered_files().items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
