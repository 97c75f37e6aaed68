"""Log lines: events with fields, one line each on standard error, for people or as JSON.

Libraries that use the standard library's logging go the same way from their warnings on.
Importing this module changes nothing; `configure` does. Source: SPEC L5.
"""

import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Final, TextIO, TypeAlias

import structlog

from cretonode.errors import ConfigError
from cretonode.observability.recent_lines import RECENT

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
FORMATS: Final = ("console", "json")
# Libraries that give their loggers a level or a handler of their own.
# aioquic's is not among them: it would write a line for each mistake of each stranger.
LIBRARIES: Final = ("hypercorn.error", "hypercorn.access", "quart.app", "quart.serving")

# structlog's own types for these say Any; `object` is what we may rely on.
EventDict: TypeAlias = MutableMapping[str, object]

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def configure(log_level: str, log_format: str) -> None:
    """Send every log line of this process to standard error from now on. May be called again.

    Raises: ConfigError, when there is no such level or format.
    """
    if log_level not in LEVELS:
        raise ConfigError(f"node.log_level is {log_level!r}; expected debug, info, warn or error")
    if log_format not in FORMATS:
        raise ConfigError(f"node.log_format is {log_format!r}; expected console or json")
    structlog.configure(
        processors=_json_chain() if log_format == "json" else _console_chain(),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[log_level]),
        logger_factory=_StderrLogger,
        # A cached logger would keep what was configured first; not to cache costs a microsecond
        # a line, and lines are rare: numbers are metrics.
        cache_logger_on_first_use=False,
    )
    _route_libraries()


class _StderrLogger:
    """Writes to what is standard error at that moment, which tests and daemons replace."""

    def __init__(self, *_names: str) -> None:
        pass

    def msg(self, line: str) -> None:
        # One write for the line and its end: lines of several threads do not mix.
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


# --- what happens to an event on its way


def _json_chain() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.format_exc_info,
        _order_fields,
        _keep,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _console_chain() -> list[structlog.typing.Processor]:
    colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.contextvars.merge_contextvars,
        _order_fields,
        _keep,
        _make_printable,
        structlog.dev.ConsoleRenderer(
            colors=colors,
            pad_event_to=28,
            sort_keys=False,
            exception_formatter=_write_traceback,
        ),
    ]


def _order_fields(_logger: object, method: str, event: EventDict) -> EventDict:
    """Put time (UTC, milliseconds), level and event first; the rest as the caller gave it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return {
        "timestamp": f"{now}Z",
        "level": _LEVEL_OF_METHOD.get(method, "error"),
        "event": event.pop("event", ""),
        **event,
    }


def _keep(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Let whoever watches the node see the line, too."""
    RECENT.add(event)
    return event


def _make_printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what would end the line or steer the terminal: some fields quote a peer."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _printable(value)
    return event


def _write_traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    """Write a traceback whose messages cannot steer the terminal either."""
    text = "".join(traceback.format_exception(*error)).rstrip()
    out.write("\n" + "\n".join(_printable(line) for line in text.split("\n")))


def _printable(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


_LEVEL_OF_METHOD: Final = {"debug": "debug", "info": "info", "warn": "warn", "warning": "warn"}


# --- libraries


class _Forward(logging.Handler):
    """Hands records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # a library's format string and arguments do not fit
            self.handleError(record)
            return
        log.log(
            max(level for level in LEVELS.values() if level <= max(record.levelno, logging.DEBUG)),
            "library_message",
            library=record.name,
            message=message,
            exc_info=record.exc_info,
        )


def _route_libraries() -> None:
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Forward)] + [_Forward()]
    root.setLevel(logging.WARNING)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.WARNING)
