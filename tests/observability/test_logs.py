import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Generator

import pytest
import structlog

import cretonode.network.aioquic_engine  # noqa: F401  it silences the library
from cretonode.errors import ConfigError
from cretonode.observability.logs import LIBRARIES, configure

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("test")

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Generator[None]:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    libraries = [logging.getLogger(name) for name in LIBRARIES]
    levels = [(library, library.level) for library in libraries]
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    for library, its_level in levels:
        library.setLevel(its_level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def test_a_json_line_is_time_level_event_and_then_the_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """House style 25."""
    configure("info", "json")
    log.warning("view_entered", view=3, cause="timeout\n", elapsed_ms=1.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    line = json.loads(err)
    assert list(line) == ["timestamp", "level", "event", "view", "cause", "elapsed_ms"]
    assert re.fullmatch(TIME, line.pop("timestamp"))
    assert line == {
        "level": "warn", "event": "view_entered", "view": 3, "cause": "timeout\n",
        "elapsed_ms": 1.5,
    }  # fmt: skip


def test_a_console_line_is_for_people_and_has_no_colour_outside_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info", "console")
    log.info("view_entered", view=3, cause="timeout")
    err = capsys.readouterr().err
    assert re.fullmatch(TIME + r" \[info +\] view_entered +view=3 cause=timeout\n", err)


@pytest.mark.parametrize(("no_color", "colored"), [("1", False), ("", True)], ids=["no", "yes"])
def test_a_terminal_gets_colour_unless_it_asks_for_none(no_color: str, colored: bool) -> None:
    """no-color.org: a NO_COLOR that is not empty."""
    near, far = pty.openpty()
    program = (
        "import structlog; from cretonode.observability.logs import configure\n"
        "configure('info', 'console'); structlog.get_logger().info('hello')\n"
    )
    environment = {**os.environ, "NO_COLOR": no_color}
    subprocess.run([sys.executable, "-c", program], stderr=far, check=True, env=environment)
    os.close(far)
    shown = os.read(near, 4096)
    os.close(near)
    assert b"hello" in shown
    assert (b"\x1b[" in shown) is colored


@pytest.mark.parametrize(
    ("level", "passing"),
    [
        ("debug", ["debug", "info", "warn", "error", "error"]),
        ("info", ["info", "warn", "error", "error"]),
        ("warn", ["warn", "error", "error"]),
        ("error", ["error", "error"]),
    ],
)
def test_a_level_passes_itself_and_what_is_worse(
    level: str, passing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level, "json")
    for say in (log.debug, log.info, log.warning, log.error, log.critical):
        say("something")
    lines = capsys.readouterr().err.splitlines()
    assert [json.loads(line)["level"] for line in lines] == passing


def test_a_peer_cannot_forge_a_line_or_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info", "console")
    try:
        raise ValueError("\x1b]0;owned\x07")
    except ValueError:
        log.exception("peer_lost", cause="\x1b[2J\n2030-01-01T00:00:00.000Z [info ] all_is_well")
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\x07" not in err
    assert not any(line.startswith("2030") for line in err.splitlines())
    assert "Traceback (most recent call last):" in err
    assert r"ValueError: \x1b]0;owned\x07" in err


def test_a_traceback_stays_within_its_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    try:
        raise ValueError("broken")
    except ValueError:
        log.exception("step_failed")
    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: broken")


def test_fields_of_the_context_are_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    structlog.contextvars.bind_contextvars(replica=2)
    log.info("view_entered", view=1)
    line = json.loads(capsys.readouterr().err)
    assert (line["replica"], line["view"]) == (2, 1)


@pytest.mark.parametrize("name", [*LIBRARIES, "asyncio", "trio.serve_listeners"])
def test_a_library_is_heard_from_its_warnings_on(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    library = logging.getLogger(name)
    library.handlers = [logging.StreamHandler(sys.stderr)] if name in LIBRARIES else []
    configure("debug", "json")
    library.info("not %s", "this")
    library.warning("but %s", "this")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("warn", "library_message")
    assert (line["library"], line["message"]) == (name, "but this")


@pytest.mark.parametrize(
    ("number", "level"), [(35, "warn"), (logging.ERROR, "error"), (99, "error")]
)
def test_a_librarys_own_levels_become_ours(
    number: int, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "json")
    logging.getLogger("odd").log(number, "x")
    assert json.loads(capsys.readouterr().err)["level"] == level


def test_a_library_with_a_broken_format_string_stops_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging.getLogger().handlers.clear()  # pytest's own would fail the test instead
    configure("info", "json")
    logging.getLogger("odd").error("%d", "no number")
    log.info("still_here")
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["event"] == "still_here"


def test_what_is_configured_last_holds(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "console")
    log.debug("first")
    configure("info", "json")
    log.debug("second")
    log.info("third")
    logging.getLogger("odd").error("fourth")
    first, *lines = capsys.readouterr().err.splitlines()
    assert "first" in first
    assert [json.loads(line)["event"] for line in lines] == ["third", "library_message"]


@pytest.mark.parametrize(
    ("level", "form", "text"),
    [
        ("loud", "json", "node.log_level is 'loud'; expected debug, info, warn or error"),
        ("info", "xml", "node.log_format is 'xml'; expected console or json"),
    ],
)
def test_an_unknown_level_or_format_is_a_config_error(level: str, form: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(level, form)
    assert str(caught.value) == text


def test_importing_changes_nothing() -> None:
    program = (
        "import logging, structlog; root = logging.getLogger()\n"
        "before = root.level, list(root.handlers)\n"
        "import cretonode.observability.logs\n"
        "assert (root.level, list(root.handlers)) == before\n"
        "assert not structlog.is_configured()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_quic_library_writes_no_lines_of_its_own() -> None:
    """It would write some for each stranger, without bound."""
    configure("debug", "console")
    assert not logging.getLogger("quic").isEnabledFor(logging.ERROR)
