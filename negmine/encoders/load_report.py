"""Weights that transformers makes up because a model's files lack them: it only logs that it does."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LISTED = re.compile(r"newly initialized: \[([^\]]*)\]")


class LoadReport(logging.Handler):
    """Collects the names of such weights from transformers' log, in its forms of version 4 and 5."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = _COLOUR.sub("", record.getMessage())
        named = [line.split("|")[0].strip() for line in text.splitlines() if re.search(r"\|\s*MISSING\b", line)]
        for found in _LISTED.findall(text):
            named += [name.strip(" '\"") for name in found.split(",")]
        # A pooler on top of the first token is part of many architectures and read by no embedding model.
        self.missing += [name for name in named if name and not name.startswith("pooler.")]


@contextlib.contextmanager
def load_report() -> Iterator[LoadReport]:
    """Collect, and keep out of the tool's output, what is logged while a model loads."""
    report, logger = LoadReport(), logging.getLogger("transformers.modeling_utils")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(report)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield report
    finally:
        logger.removeHandler(report)
        logger.setLevel(level)
        logger.propagate = propagate
