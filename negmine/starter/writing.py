"""The text of a starter config."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from negmine.config.embedding import is_local_model
from negmine.errors import UsageError, nearest
from negmine.starter.findings import Findings, quoted
from negmine.starter.layout import look_at
from negmine.store.files import replacing

CONFIG_NAME = "negmine.yaml"


@dataclass(frozen=True)
class Starter:
    """The config that was written, what was recognised, and whether something must be filled in."""

    path: Path
    notes: tuple[str, ...]
    incomplete: bool


def write_starter(place: Path, *, model: str, force: bool) -> Starter:
    """Write ``negmine.yaml`` into the folder ``place``, or beside the file ``place``, filled in from the data there.

    Raises UsageError when there is no such place, it cannot be written to, or holds a config already and not
    ``force``; InputError when the file cannot be read.
    """
    if not place.exists():
        raise _not_there(place)
    folder, file = (place, None) if place.is_dir() else (place.parent, place)
    path = folder / CONFIG_NAME
    if path.exists() and not force:
        raise UsageError("this config is there already", where=str(path), hint="Replace it with: --force")
    try:
        found = look_at(folder, file)
        with replacing(path) as temporary:
            temporary.write_text(_config_text(found, _model_value(model)), "utf-8")
    except OSError as error:
        raise UsageError(
            f"the config cannot be written ({error.strerror})",
            where=str(folder),
            hint="Give a folder that you can write to.",
        ) from error
    return Starter(path, tuple(found.notes), found.incomplete)


def _not_there(place: Path) -> UsageError:
    """The error for a place that is not there, with what its name may have been meant for."""
    parent = place.absolute().parent
    if not parent.is_dir():
        hint = f"{parent} is not there either."
    else:
        hint = nearest(place.name, sorted(other.name for other in parent.iterdir()))
    hint = hint or "Give the folder that your data files are in, or a data file."
    return UsageError("there is no such file or folder", where=str(place), hint=hint)


def _model_value(model: str) -> str:
    """A local folder is written so that it is found from the config's folder too."""
    return str(Path(os.path.expanduser(model)).absolute()) if is_local_model(model) else model  # noqa: PTH111


_TEXT = """\
# Hard negatives with negmine. Paths are relative to the folder of this file.
#   negmine plan -c {name}     what a run would do, and what it would cost
#   negmine run -c {name}      do it
# Every key, with its meaning: negmine schema
{todo}
work_dir: runs/negmine         # folder that a run writes to

data:
{data}

embed:
  model: {model}   # hub name, local folder or package://module/path

# mine: {{k: 100}}               # candidates looked at per query

filter:
  # Kept is what is probably no answer: by default so strict that the negatives are as hard as
  # with a relative margin of 5%. For a limit of your own on that probability, or for none:
  # risk: {{max: 0.1}}           # or null
  num_negatives: 5             # per query
  sampling_strategy: top       # top (the hardest) | random | softmax | simans | spread

export:                        # one or more of:
  # Sentence Transformers: triplet, n-tuple, labeled-pair, labeled-list, margin-mse, ids
  # others: flagembedding, tevatron, tevatron-ids, nemo, ms-swift, beir, trec-run
  - {{format: triplet, file: train.jsonl}}
  # - {{format: flagembedding, file: flagembedding.jsonl}}
  # - {{format: beir, file: beir/}}

# split: {{dev: 0.05}}           # hold out a twentieth of the queries
"""


def _config_text(found: Findings, model: str) -> str:
    todo = "#\n# Not complete yet: look for FILL IN below.\n" if found.incomplete else ""
    data = "\n".join(f"  {line}" for line in found.section())
    return _TEXT.format(name=CONFIG_NAME, todo=todo, data=data, model=quoted(model))
