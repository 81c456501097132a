"""What people and programs see: results on stdout, progress and messages on stderr."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.errors import NegmineError
    from negmine.pipeline import StageResult

_LOG_SECONDS = 30.0
_FILE_COLUMNS = 120
_GAP = 3
_LEAST_FOLDED = 10
_LONGEST_ERROR = 1600
# The next step after an error that names none of its own, by exit code.
_NEXT = {
    3: "What each key takes is in: negmine schema",
    4: "Mend it and run the same command again; what was finished is kept.",
    5: "Rebuild the stage with its --repair option.",
}


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
        """The JSON object of a command, when ``--json`` asks for it. An error that follows stands below it, and below
        what was printed, also where both go to one log."""
        if self.json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people.

        The name of a column may end in marks: ``>`` aligns it right, ``?`` leaves it out where
        the terminal is too narrow, ``~`` lets its text go over several lines.
        """
        if self.json or self.quiet:
            return
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else _FILE_COLUMNS
        sys.stdout.write(_rendered(columns, rows, width, colour=sys.stdout.isatty()))

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
        from negmine.remote.stores import redacted

        text = str(error)
        if error.hint is None and error.exit_code in _NEXT:
            text = f"{text.rstrip('.')}. {_NEXT[error.exit_code]}"
        text = shown(redacted(text.replace("-c CONFIG", f"-c {self.config}")))
        if len(text) > _LONGEST_ERROR:  # a name of the user's file that is no name: the ends say what and what to do
            text = f"{text[: _LONGEST_ERROR // 2]} ... {text[-_LONGEST_ERROR // 2 :]}"
        if self.log_json:
            self._log("error", text, exit_code=error.exit_code)
            return
        sys.stderr.write(f"error: {text}\n")
        if error.snippet:
            sys.stderr.write("".join(f"  {shown(redacted(line))}\n" for line in error.snippet.splitlines()))

    def failure(self, text: str, exit_code: int) -> None:
        """The last line of a command that ends otherwise than by an error of the tool."""
        if self.log_json:
            self._log("error", text.removeprefix("error: "), exit_code=exit_code)
        else:
            # On a terminal the rest of a progress bar, or an echoed ^C, may stand in this line.
            sys.stderr.write(f"\r\033[K{text}\n" if sys.stderr.isatty() else f"{text}\n")

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
        bars = self.progress and not self.quiet and not self.log_json and sys.stderr.isatty()
        return ProgressReporter(self, bars=bars)


_STYLES = {
    "current": "green",
    "done": "bold green",
    "stale": "yellow",
    "partial": "yellow",
    "missing": "dim",
    "damaged": "bold red",
    "passed": "green",
    "failed": "bold red",
    "skipped": "yellow",
}


def _rendered(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, colour: bool) -> str:
    """A table of at most ``width`` columns, without spaces at the ends of lines.

    It is wider where only cutting a cell would make it fit: half a number is a wrong one.
    """
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    shown = _fitting(columns, rows, width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, _GAP - 1, 0, 0))
    for i in shown:
        name = columns[i].rstrip(">?~")
        marks = columns[i][len(name) :]
        table.add_column(name, justify="right" if ">" in marks else "left", overflow="fold", no_wrap="~" not in marks)
    for row in rows:
        table.add_row(*(Text(row[i], style=_STYLES.get(row[i], "")) for i in shown))
    whole = sum(_wide(columns, rows, i) for i in shown if "~" not in columns[i])
    folded = sum(_LEAST_FOLDED for i in shown if "~" in columns[i])
    console = RichConsole(width=max(width, whole + folded), highlight=False, force_terminal=colour)
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Columns to show: all, but those marked ``?`` only while there is room."""
    shown = list(range(len(columns)))
    wide = [_wide(columns, rows, i) for i in shown]
    for i in reversed(range(len(columns))):
        if sum(wide[j] for j in shown) - _GAP > width and "?" in columns[i]:
            shown.remove(i)
    return shown


def _wide(columns: Sequence[str], rows: Sequence[Sequence[str]], i: int) -> int:
    return max(len(columns[i].rstrip(">?~")), *(len(row[i]) for row in rows), 0) + _GAP


class ProgressReporter:
    """Progress with an estimate: a bar where there is a terminal, a line every 30 seconds elsewhere."""

    def __init__(self, console: Console, *, bars: bool) -> None:
        self._console = console
        self._bars = bars
        self._bar: Any = None
        self._stage = self._unit = ""
        self._total = self._done = self._before = 0
        self._started = 0.0
        self._ended = threading.Event()

    def note(self, text: str) -> None:
        self._console.note(text)

    def stage_started(self, stage: str, why: str) -> None:
        self._stage, self._started = stage, time.monotonic()
        self._total = self._done = self._before = 0
        if not self._bars:
            self._console.note(f"{stage}: started ({why})", stage=stage)
            self._ended = threading.Event()
            threading.Thread(target=self._report_now_and_then, args=(self._ended,), daemon=True).start()

    def tasks_known(self, stage: str, unit: str, total: int, done: int) -> None:
        self._unit, self._total = unit, total
        self._before += max(done - self._done, 0)
        self._done = max(self._done, done)
        if not self._bars:
            return
        if self._bar is None:
            self._bar = _bar(stage, unit, total, done)
        self._bar.total = total
        self._bar.n = self._done
        self._bar.refresh()

    def advanced(self, stage: str, units: int) -> None:
        self._done += units
        if self._bar is not None:
            self._bar.update(units)

    def _report_now_and_then(self, ended: threading.Event) -> None:
        while not ended.wait(_LOG_SECONDS):
            self._console.note(self._progress(), stage=self._stage, done=self._done, total=self._total)

    def _progress(self) -> str:
        elapsed = time.monotonic() - self._started
        fresh = self._done - self._before
        if not fresh or not self._total:
            return f"{self._stage}: working for {duration(elapsed)}"
        left = elapsed * (self._total - self._done) / fresh
        share = 100 * self._done / self._total
        counted = f"{self._done:,} of {self._total:,} {self._unit} ({share:.0f}%)"
        return f"{self._stage}: {counted}, about {duration(left)} left"

    def stage_finished(self, result: StageResult) -> None:
        self.close()
        if result.state == "done" and not self._bars:
            self._console.note(f"{result.stage}: done in {duration(result.wall_seconds)}", stage=result.stage)
        if self._console.verbose:
            counts = ", ".join(f"{key} {value:,}" for key, value in result.manifest.counts.items() if value)
            self._console.note(f"{result.stage}: {counts}", stage=result.stage)

    def close(self) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _bar(stage: str, unit: str, total: int, done: int) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=done,
        desc=f"{stage:<7}",
        unit=f" {unit}",
        unit_scale=True,
        file=sys.stderr,
        leave=False,
        ncols=shutil.get_terminal_size().columns - 4,  # room for the terminal's ^C
        mininterval=0.2,
    )


def shown(text: str) -> str:
    """Text on one line: what a user's file has of line breaks and control characters becomes escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str) -> str:
    """A text of a user's file without line breaks, and without control characters that a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, room: int) -> str:
    """A text in at most ``room`` columns of the terminal."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def chance(p: float) -> str:
    """A p-value as people write it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
