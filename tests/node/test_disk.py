"""Opening what a node keeps."""

import shutil
from pathlib import Path

import structlog

from cretonode.cli.layout import make_testnet
from cretonode.config.load import load
from cretonode.core.records import ViewEntered
from cretonode.identifiers import View
from cretonode.node.disk import open_disk
from cretonode.node.node import identify
from cretonode.wire.records import encode_record


async def test_a_lost_database_beside_a_kept_journal_is_told(tmp_path: Path) -> None:
    node = make_testnet(tmp_path / "net", size=1)[0]
    config = load(node.config_path, environment={}, flags={})
    who = identify(config)
    told: list[int] = []
    for _ in range(2):
        with structlog.testing.capture_logs() as logs:
            async with open_disk(config, who.committee, who.me, who.secret.node_id) as disk:
                disk.journal.append_synced([encode_record(ViewEntered(View(1)))])
        told.append([line["event"] for line in logs].count("database_empty"))
        shutil.rmtree(config.storage.path)
    assert told == [0, 1], "a first start is no loss"
