"""A Ray cluster of two machines, both of them this one, and data for runs on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from small_run import make_run, run_files

from negmine.config import Config, load_config
from negmine.pipeline import run


class Machines:
    """The cluster; its second machine can be lost."""

    def __init__(self, folder: str) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        Path("/tmp/ray").mkdir(exist_ok=True)  # Ray writes an address down there
        self._settings: dict[str, Any] = {
            "num_cpus": 1,
            "memory": 4 * 10**9,
            "object_store_memory": 80 * 2**20,
            "include_dashboard": False,
        }
        self._cluster = Cluster(
            initialize_head=True, head_node_args={**self._settings, "temp_dir": folder}, shutdown_at_exit=True
        )
        self.address: str = self._cluster.address
        self._second: Any = None

    def complete(self) -> None:
        if self._second is None:
            self._second = self._cluster.add_node(**self._settings)

    def lose_one(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = None

    def shutdown(self) -> None:
        self._cluster.shutdown()


class Collection:
    """Data for runs, and what the local engine makes of them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        from slow_negmine import pretend

        pretend(patch.setattr)
        self.file = make_run(folder, passages=96, queries=48, part_queries=6)
        text = self.file.read_text().replace("vectors: {corpus: corpus.npy, queries: queries.npy}", "model: ./model")
        self.with_model = folder / "model.yaml"
        self.with_model.write_text(text.replace("part_rows: 16", "part_rows: 12"))
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
        self.expected = {file: self._local(file) for file in (self.file, self.with_model)}

    def _local(self, file: Path) -> dict[str, Any]:
        work = file.parent / f"local-{file.stem}"
        run(load_config(file, [f"work_dir={work}"]))
        return run_files(work)

    def config(self, file: Path, work: Path, address: str, *overrides: str) -> Config:
        ray = ("engine.kind=ray", f"engine.address='{address}'", "memory_limit=200MB")
        return load_config(file, [f"work_dir={work}", *ray, *overrides])
