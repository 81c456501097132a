"""Reading what a run left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine.config import Config
from negmine.errors import ArtifactError
from negmine.remote.opening import open_folder, open_run
from negmine.stages.final import final_stage, final_stage_of
from negmine.store.tables import read_columns


def read_verdicts(run: Config | str | Path) -> pa.Table:
    """Every candidate with its final verdict (``schemas.verdicts``), in query order.

    ``run`` is a config, or the path or URL of a work_dir. The verdicts are those of judge where there is one: in the
    config, or else in the folder. Raises ArtifactError when that stage has not finished there or a file is damaged.
    """
    work = open_run(run)[1] if isinstance(run, Config) else open_folder(os.fspath(run))
    stage = final_stage(run) if isinstance(run, Config) else final_stage_of(work)
    manifest = work.manifest(stage)
    if manifest is None:
        raise ArtifactError(f"{stage} has not finished in this run", where=work.name, hint="Run: negmine run -c CONFIG")
    paths = sorted(work.files(manifest, "part-"))
    tables: list[Any] = [read_columns(path, pq.read_schema(path).names) for path in paths]
    return pa.concat_tables(tables)


def read_negatives(run: Config | str | Path) -> pa.Table:
    """The kept negatives: the rows of ``read_verdicts`` whose verdict is ``kept``."""
    table = read_verdicts(run)
    return table.filter(pc.equal(table["verdict"], "kept"))
