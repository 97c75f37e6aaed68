"""`submit` reads no more than it can use, and says which file or line is impossible."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cretonode.cli import client_commands
from cretonode.cli.commands import cli
from cretonode.cli.submitting import lines_of
from cretonode.client import Submitted, Unreachable
from cretonode.crypto.hashing import hash_of
from cretonode.errors import ConfigError
from cretonode.identifiers import TransactionId
from cretonode.limits import TRANSACTION_BYTES_MAX


class Node:
    """Accepts everything, but for the batch of that number."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.silent_at = -1

    def __call__(self, url: str) -> "Node":
        return self

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, batch: list[bytes], *, wait_ms: int | None) -> tuple[Submitted, ...]:
        if len(self.batches) == self.silent_at:
            raise Unreachable("no answer")
        self.batches.append(batch)
        return tuple(Submitted(id=TransactionId(hash_of(each)), known=False) for each in batch)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node()
    monkeypatch.setattr(client_commands, "Client", node)
    return node


def submit(*arguments: object, given: bytes = b"") -> Result:
    return CliRunner().invoke(cli, ["submit", *map(str, arguments)], input=given)


@pytest.mark.parametrize("lines", [(), ("--lines",)])
@pytest.mark.parametrize("bad", ["/dev/zero", "/dev/null", "empty", "large", "missing", "."])
def test_nothing_is_submitted_when_a_file_is_impossible(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    node: Node,
    bad: str,
    lines: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good").write_bytes(b"good")
    Path("empty").touch()
    Path("large").write_bytes(bytes(TRANSACTION_BYTES_MAX + 1))
    done = submit(*lines, "good", bad)
    assert done.exit_code == 2
    assert f"cretonode: {bad}: " in done.stderr
    assert not node.batches


def test_the_largest_is_submitted(tmp_path: Path, node: Node) -> None:
    (tmp_path / "file").write_bytes(bytes(TRANSACTION_BYTES_MAX))
    assert submit(tmp_path / "file", "-", given=b"piped").exit_code == 0
    assert [len(each) for each in node.batches[0]] == [TRANSACTION_BYTES_MAX, 5]


def test_a_long_line_is_refused_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"a\r\n\n" + bytes(TRANSACTION_BYTES_MAX) + b"\r\nb")
    assert [len(line) for line in lines_of([str(file)])] == [1, TRANSACTION_BYTES_MAX, 1]
    file.write_bytes(b"a\n\n" + bytes(TRANSACTION_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="line 3 is too long"):
        lines_of([str(file)])


def test_a_stream_goes_batch_by_batch_into_one_line(node: Node) -> None:
    done = submit("--lines", "-", given=b"".join(b"%d\n" % i for i in range(1200)))
    assert [len(batch) for batch in node.batches] == [500, 500, 200]
    assert "1200 accepted" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_what_was_accepted_before_an_error_is_said(node: Node) -> None:
    node.silent_at = 1
    done = submit("--lines", "--json", "-", given=b"".join(b"%d\n" % i for i in range(700)))
    assert done.exit_code == 1
    assert "500 accepted" in done.stderr
    assert done.stdout.count('"id"') == 500
    assert done.stdout.endswith("]\n")


def test_json_gives_all(node: Node) -> None:
    done = submit("--lines", "--json", "-", given=b"1\n2\n3")
    assert [each["known"] for each in json.loads(done.stdout)] == [False] * 3
