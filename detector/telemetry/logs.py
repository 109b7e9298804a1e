"""The detector's own log: structured, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from detector.config import LogConfig

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logs(config: LogConfig) -> None:
    """Send our log, and what libraries warn of, to standard error.

    Text on a terminal, one JSON document a line otherwise.
    """
    as_text = config.format == "text" or (config.format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if as_text
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[config.level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=renderer)
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
