"""Reading finished stages that another command may replace meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from negmine.config import Config
from negmine.errors import ArtifactError
from negmine.remote.opening import open_run
from negmine.store.manifest import Manifest
from negmine.store.workdir import WorkDir

T = TypeVar("T")
MadeFrom = Sequence[tuple[str, str, tuple[str, ...]]]
"""A stage, an earlier one, and the outputs of that one that it must have been made from, for rows of
both to be about the same numbers."""

_TRIES = 5


def steady(
    run: Config | Callable[[], WorkDir],
    stages: Sequence[str],
    made_from: MadeFrom,
    read: Callable[[WorkDir, Mapping[str, Manifest]], T],
) -> T:
    """What ``read`` makes of one state of the run: once more when a command replaced a stage meanwhile.

    ``run`` is a config, or what opens a run that has none. Raises ArtifactError when one of ``stages`` has not
    finished (the first is the one that the caller is about), or ``made_from`` does not hold.
    """

    def opened() -> WorkDir:
        return open_run(run)[1] if isinstance(run, Config) else run()

    tries = 0
    while True:
        tries += 1
        work = opened()
        manifests = _manifests(work, stages, made_from)
        try:
            value = read(work, manifests)
        except Exception:  # also what a mixture of two states leads to
            if tries == _TRIES or _manifests(opened(), stages, made_from) == manifests:
                raise
            continue
        if tries == _TRIES or _manifests(work, stages, made_from) == manifests:
            work.digests.save()
            return value


def _manifests(work: WorkDir, stages: Sequence[str], made_from: MadeFrom) -> dict[str, Manifest]:
    """Manifests of the stages that are read, which belong together."""
    found = {}
    for stage in stages:
        manifest = work.manifest(stage)
        if manifest is None:
            raise ArtifactError(
                f"{stage} has not finished in this run" if stage == stages[0] else f"{stage} is missing in this run",
                where=work.name,
                hint="Run: negmine run -c CONFIG",
            )
        found[stage] = manifest
    for stage, earlier, outputs in made_from:
        used = found[stage].made_from["upstream"]
        if any(used.get(f"{earlier} {output}") != found[earlier].outputs[output] for output in outputs):
            raise ArtifactError(
                f"{stage} was made from an earlier {earlier} than the one that is there",
                where=work.name,
                hint="Run: negmine run -c CONFIG",
            )
    return found
