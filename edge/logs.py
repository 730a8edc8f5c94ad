"""One line an event on standard error: text for people on a terminal, JSON otherwise; never a secret value."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Forward(logging.Handler):
    """Sends the standard library's records (of prover_core, of gRPC) the same way, with the same bound ids."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger(record.name).log(record.levelno, record.getMessage(), logger=record.name)


def configure(level: str = "info") -> None:
    """Sets up this process, daemon or worker. A line is one write, so that processes may share a file."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _console() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(LEVELS[level], logging.WARNING))


def _console() -> structlog.dev.ConsoleRenderer:
    """Lines for people. Plain tracebacks: the ones that structlog prefers show local variables, inputs among them."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
