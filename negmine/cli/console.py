"""What people and programs see: results on stdout, progress and messages on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.errors import NegmineError
    from negmine.pipeline import StageResult

_LOG_SECONDS = 30.0


@dataclass
class Console:
    """One place for output, in the mode that the common options ask for."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    progress: bool = True
    log_json: bool = False
    config: str = "CONFIG"
    _bars: dict[str, Any] = field(default_factory=dict)

    def result(self, value: Any) -> None:
        """The JSON object of a command, when ``--json`` asks for it."""
        if self.json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people."""
        if self.json or self.quiet:
            return
        from rich import box
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            right = column.endswith(">")
            table.add_column(column.removesuffix(">"), justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
        width = None if sys.stdout.isatty() else 120
        RichConsole(file=sys.stdout, width=width, highlight=False).print(table)

    def line(self, text: str = "") -> None:
        """A line of the result for people."""
        if not self.json and not self.quiet:
            sys.stdout.write(text + "\n")

    def note(self, text: str, **facts: Any) -> None:
        """A message beside the result."""
        if not self.quiet:
            self._log("info", text, **facts)

    def warn(self, text: str) -> None:
        self._log("warning", text)

    def error(self, error: NegmineError) -> None:
        """One line with cause, place and next step; then the offending line of a file, if any."""
        text = str(error).replace("-c CONFIG", f"-c {self.config}")
        if self.log_json:
            self._log("error", text, exit_code=error.exit_code)
            return
        sys.stderr.write(f"error: {text}\n")
        if error.snippet:
            sys.stderr.write("".join(f"  {line}\n" for line in error.snippet.splitlines()))

    def _log(self, level: str, text: str, **facts: Any) -> None:
        if self.log_json:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            sys.stderr.write(json.dumps({"time": stamp, "level": level, "message": text, **facts}) + "\n")
        else:
            prefix = "" if level == "info" else f"{level}: "
            sys.stderr.write(f"{prefix}{text}\n")
        sys.stderr.flush()

    def reporter(self) -> ProgressReporter:
        """Shows a run's progress: bars on a terminal, else lines."""
        return ProgressReporter(self, bars=self.progress and not self.quiet and sys.stderr.isatty() and not self.log_json)


_STYLES = {
    "current": "green",
    "done": "bold green",
    "stale": "yellow",
    "partial": "yellow",
    "missing": "dim",
    "damaged": "bold red",
}


class ProgressReporter:
    """Progress with an estimate: a bar where there is a terminal, a line every 30 seconds elsewhere."""

    def __init__(self, console: Console, *, bars: bool) -> None:
        self._console = console
        self._bars = bars
        self._bar: Any = None
        self._unit = ""
        self._total = self._done = self._before = 0
        self._started = self._logged = 0.0

    def stage_started(self, stage: str, why: str) -> None:
        self._started = self._logged = time.monotonic()
        self._total = self._done = self._before = 0
        if not self._bars:
            self._console.note(f"{stage}: started ({why})", stage=stage)

    def tasks_known(self, stage: str, unit: str, total: int, done: int) -> None:
        self._unit, self._total = unit, total
        self._before += max(done - self._done, 0)
        self._done = max(self._done, done)
        if not self._bars:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, desc=f"{stage:<7}", unit=f" {unit}", unit_scale=True,
                             file=sys.stderr, leave=False, dynamic_ncols=True, mininterval=0.2)
        self._bar.total = total
        self._bar.n = self._done
        self._bar.refresh()

    def advanced(self, stage: str, units: int) -> None:
        self._done += units
        if self._bar is not None:
            self._bar.update(units)
            return
        now = time.monotonic()
        if now - self._logged >= _LOG_SECONDS:
            self._logged = now
            fresh = self._done - self._before
            left = (now - self._started) * (self._total - self._done) / fresh if fresh else 0.0
            percent = 100 * self._done / self._total if self._total else 100
            self._console.note(
                f"{stage}: {self._done:,} of {self._total:,} {self._unit} ({percent:.0f}%), about {duration(left)} left",
                stage=stage,
            )

    def stage_finished(self, result: StageResult) -> None:
        self.close()
        if result.state == "done" and not self._bars:
            self._console.note(f"{result.stage}: done in {duration(result.wall_seconds)}", stage=result.stage)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def quiet_libraries() -> None:
    """Keep other packages' log lines out of the tool's output."""
    logging.getLogger().setLevel(logging.ERROR)
