"""Arguments of `just bench`: a mistake is named before anything is started or written."""

import pytest

from bench import throughput
from bench.throughput import main, parse


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("n=0", "n is '0'; expected 1 to 31, a whole number"),
        ("n=1000", "n is '1000'"),
        ("n=2.5", "n is '2.5'"),
        ("n=x", "n is 'x'"),
        ("n=inf", "n is 'inf'"),
        ("n=", "n is ''"),
        ("rate=-1", "rate is '-1'; expected 0.1 to 1000000"),
        ("seconds=0", "seconds is '0'"),
        ("batch=-5", "batch is '-5'"),
        ("n=4 n=3", "n is given twice: '4' and '3'"),
        ("four", "'four' is no key=value; allowed: n, rate"),
        ("m=4", "unknown: m; allowed: n, rate"),
        ("to=4", "to is '4'; expected all, or 0 to 3"),
        ("profile=huge", "profile is 'huge'; expected default or small"),
        ("console=8", "console is '8'; expected a screen, 1 to 7, or none"),
        ("console=1 seconds=15", "console with seconds=15; expected at least 16"),
        ("rate=1 seconds=1", "less than one batch"),
        ("out=/", "out is '/', a directory"),
    ],
)
def test_a_mistake_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    expected: str,
) -> None:
    monkeypatch.setattr(throughput, "measure", None)
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not printed.out


def test_what_is_not_given_has_a_default() -> None:
    options = parse(["n=7"])
    assert (options["n"], options["rate"], options["to"]) == ("7", "10000", "all")
