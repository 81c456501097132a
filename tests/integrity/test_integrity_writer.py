"""Status tells a run that is being made from one that was interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from stopping import Stopping

from negmine.pipeline import status
from negmine.store.lock import writer_of, writing

HOLDER = """
import sys
from pathlib import Path
from negmine.store.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def why_of_mine(finished: Any) -> tuple[str, str]:
    found = {stage.stage: stage for stage in status(finished.config("mine.k=7"))}["mine"]
    return found.state, found.why


def test_a_partial_stage_names_the_process_that_makes_it(finished: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        finished.run_with("mine.k=7", executor=Stopping("mine", 2))
    assert why_of_mine(finished) == ("partial", "interrupted (mine.k changed: 20 -> 7)")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(finished.work)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        state, why = why_of_mine(finished)
        assert state == "partial"
        assert why.startswith("being made by negmine ")
        assert f", process {holder.pid} on " in why
        assert why.endswith(" (mine.k changed: 20 -> 7)")
        holder.kill()  # what it wrote about itself stays
    assert (finished.work / ".lock").read_text()
    assert why_of_mine(finished) == ("partial", "interrupted (mine.k changed: 20 -> 7)")


def test_nobody_is_named_who_cannot_be_seen(finished: Any) -> None:
    lock = finished.work / ".lock"
    lock.unlink(missing_ok=True)
    assert writer_of(finished.work) is None
    with writing(finished.work):
        assert f"process {os.getpid()} on " in str(writer_of(finished.work))
        holder = json.loads(lock.read_text())
        for other in ({**holder, "host": "another"}, {**holder, "pid": "?"}, {}, [], "half"):
            lock.write_text(json.dumps(other)[:-1] if other == "half" else json.dumps(other))
            assert writer_of(finished.work) is None
    assert writer_of(finished.work) is None
