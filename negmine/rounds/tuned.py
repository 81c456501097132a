"""The config of a tuning that found something better, beside the one it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from negmine.config import Config, get
from negmine.config.changing import with_values
from negmine.remote.opening import open_run
from negmine.rounds.trials import FOLDER
from negmine.rounds.tuning import Tuning
from negmine.rounds.writing import beside, check_free, file_text, text_digest, write_file
from negmine.store.files import read_json, write_json

_SUFFIX = "tuned"


def check_tuned(config: Config, source: Path) -> None:
    """Raise UsageError, before long work, when the place for the new config is taken."""
    mark = _mark(config)
    check_free(beside(source, _SUFFIX), read_json(mark).get("digest") if mark.is_file() else None)


def write_tuned(config: Config, source: Path, overrides: Sequence[str], found: Tuning) -> Path | None:
    """Write the chosen settings into a copy of ``source``; its path, None where the default is kept.

    What an earlier tuning wrote is taken away then.
    """
    path, mark = beside(source, _SUFFIX), _mark(config)
    if found.chosen is None:
        path.unlink(missing_ok=True)
        return None
    chosen = found.chosen
    values = {key: value for key, value in chosen.values.items() if get(config, key) != value}
    said = f"Written by negmine tune: {chosen.name}, {chosen.gain:+.4f} nDCG@10 on dev (p = {chosen.p:.3f})"
    text = file_text(source, overrides, config, values, said)
    write_file(path, text, with_values(config, chosen.values))
    write_json(mark, {"digest": text_digest(text), "path": str(path)})
    return path


def _mark(config: Config) -> Path:
    return open_run(config)[1].root / FOLDER / "config.json"
