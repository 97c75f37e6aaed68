"""`recover` refuses, and says what to do instead."""

from click.testing import CliRunner

from cretonode.cli.commands import cli


def test_recover_does_not_pretend() -> None:
    result = CliRunner().invoke(cli, ["recover"])
    assert result.exit_code == 2
    assert "not built yet; nothing was changed" in result.output
    told = " ".join(CliRunner().invoke(cli, ["recover", "--help"]).output.split())
    assert "NOT BUILT YET" in told
