"""A cluster of two machines with a CPU each, all on this one."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from clusters import Collection, Machines


@pytest.fixture(scope="module")
def cluster() -> Iterator[Machines]:
    pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="nm", dir="/tmp")  # a socket's path must be short
    machines = Machines(folder)
    yield machines
    machines.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machines(cluster: Machines) -> Iterator[Machines]:
    """The cluster with both machines, and no connection to it."""
    import ray

    cluster.complete()
    yield cluster
    ray.shutdown()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with pytest.MonkeyPatch.context() as patch:
        yield Collection(tmp_path_factory.mktemp("data"), patch)
