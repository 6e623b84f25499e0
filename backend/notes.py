"""What the backend says of its work while it works: JSON lines on stderr, no personal data.

Nor any secret (CONTRIBUTING.md, 8).
"""

from __future__ import annotations

import logging
import sys
from typing import Any


def log() -> Any:
    """The logger; its library, slow to load, comes when something is said."""
    import structlog  # noqa: PLC0415

    if not structlog.is_configured():
        structlog.configure(
            processors=[structlog.processors.add_log_level,
                        structlog.processors.TimeStamper(fmt="iso"),
                        structlog.processors.JSONRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is when used
        )  # fmt: skip
    return structlog.get_logger("backend")
