"""What a test puts into worker processes: the pretended model, and tasks that take longer.

As a program: ``negmine`` whose workers (and itself) are so, on the cluster of TEST_CLUSTER.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CRASH = HERE.parent / "crash"
if str(CRASH) not in sys.path:
    sys.path.insert(0, str(CRASH))


def setup() -> None:
    """Run in every worker when it starts."""
    import slow_negmine

    from negmine.stages.embed import EmbedStage
    from negmine.stages.mine import MineStage

    slow_negmine.pretend()
    for stage in (EmbedStage, MineStage):
        stage.execute = _slowed(stage.execute)  # type: ignore[method-assign]


def _slowed(real: Any) -> Any:
    def execute(self: Any, task: Any, job: Any) -> Any:
        time.sleep(float(os.environ.get("TEST_PAUSE", "0")))
        if task.name == os.environ.get("TEST_DEADLY"):
            os._exit(9)
        return real(self, task, job)

    return execute


def connect(address: str, **variables: str) -> None:
    """Connect this process to a cluster whose workers get ``setup`` and these variables."""
    import ray

    variables = {"PYTHONPATH": os.pathsep.join([str(HERE), str(CRASH)]), "HF_HUB_OFFLINE": "1", **variables}
    environment = {"worker_process_setup_hook": "slow_worker.setup", "env_vars": variables}
    ray.init(address=address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)


def main() -> None:
    import slow_negmine

    from negmine.executors.cluster import silence

    with silence():
        connect(os.environ["TEST_CLUSTER"], TEST_PAUSE=os.environ.get("TEST_PAUSE", "0"))
        slow_negmine.main()


if __name__ == "__main__":
    main()
