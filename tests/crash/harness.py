"""Kill ``negmine run`` again and again; what it ends with must be what an undisturbed run gives.

    python tests/crash/harness.py --kills 1000 --seed 1

Two kinds of runs take turns: into an empty folder, and over the finished run of other data,
where every stage replaces one that is there (and a user's own files lie among them).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from small_run import STAGES, command, environment, litter, make_run, negmine, run_files, stage_files

_OWN_FILES = {"export": "notes.txt", "mine": "plots/mine.txt"}
_PATIENCE = 60.0


@dataclass
class Outcome:
    """What a campaign of kills came to."""

    kills: int = 0
    finished_runs: int = 0
    status_calls: int = 0
    by_moment: Counter[str] = field(default_factory=Counter)
    in_stage: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        moments = ", ".join(f"{count} {name}" for name, count in sorted(self.by_moment.items()))
        stages = ", ".join(f"{name} {self.in_stage[name]}" for name in (*STAGES, "done"))
        return (
            f"{self.kills} kills ({moments}) over {self.finished_runs} finished runs, all with the bytes of the"
            f" uninterrupted one; {self.status_calls} status calls; the stage that was next: {stages}"
        )


class Campaign:
    """One set of data, its expected files, and any number of interrupted runs of it."""

    def __init__(self, folder: Path, seed: int, *, status_every: int = 1) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.status_every = status_every
        self.outcome = Outcome()
        self.config = make_run(folder / "data")
        before = make_run(folder / "before", seed=1)
        plain, self.template = folder / "plain", folder / "template"
        self.duration = self._timed(plain)
        self.expected = run_files(plain)
        self._must("run", "-c", before, "--set", f"work_dir={self.template}")
        self.old = run_files(self.template)
        for stage, name in _OWN_FILES.items():
            path = self.template / stage / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"the user's, in {stage}\n")

    def _must(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        finished = negmine(*words)
        assert finished.returncode == 0, finished.stderr
        return finished

    def _start(self, work: Path) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.folder / "stderr.txt"
        with log.open("wb") as stderr:
            words = command("run", "-c", self.config, "--set", f"work_dir={work}")
            process = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=stderr, env=environment(), start_new_session=True
            )
        return process, log

    def _timed(self, work: Path) -> float:
        """Seconds from the first line to the end of an uninterrupted run."""
        process, log = self._start(work)
        _wait(lambda: log.stat().st_size > 0 or process.poll() is not None)
        started = time.monotonic()
        assert process.wait() == 0, log.read_text()
        return time.monotonic() - started

    def interrupt_until_done(self, *, over_old: bool, kills: int) -> None:
        """Kill and restart one run until it ends, by itself once ``kills`` are spent."""
        work = self.folder / f"run-{self.outcome.finished_runs}"
        if over_old:
            shutil.copytree(self.template, work)
        left: tuple[str, ...] = STAGES
        while self.outcome.kills < kills and self._one_kill(work, left, over_old):
            self.outcome.kills += 1
            left = self._check_between(work, over_old)
        if self.outcome.kills == kills:
            self._must("run", "-c", self.config, "--set", f"work_dir={work}")
        found = run_files(work)
        for stage, name in _OWN_FILES.items() if over_old else ():
            assert found[stage].pop(name, None), f"the user's {stage}/{name} is lost"
        assert found == self.expected, _difference(found, self.expected)
        assert not litter(work), litter(work)
        self.outcome.finished_runs += 1
        shutil.rmtree(work)

    def _one_kill(self, work: Path, left: tuple[str, ...], over_old: bool) -> bool:
        """Start the run and kill it at a moment, aimed at the stages ``left``; False when it ended before."""
        process, log = self._start(work)
        _wait(lambda: log.stat().st_size > 0 or process.poll() is not None)
        moment = self.random.choice(["anywhere", "manifest written", "stage in place", "stage replaced"])
        if moment == "stage replaced" and not over_old:
            moment = "anywhere"
        if moment == "anywhere":
            time.sleep(self.random.uniform(0, self.duration * len(left) / len(STAGES)))
        else:
            self._await_commit(process, work, moment, self.random.choice(left or STAGES))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == 0:
            return False
        assert process.returncode == -signal.SIGKILL, log.read_text()
        self.outcome.by_moment[moment] += 1
        return True

    def _await_commit(self, process: subprocess.Popen[bytes], work: Path, moment: str, stage: str) -> None:
        folder = {"manifest written": work / ".pending", "stage in place": work, "stage replaced": work / ".trash"}
        pattern = {
            "manifest written": f"{stage}-*/manifest.json",
            "stage in place": f"{stage}/manifest.json",
            "stage replaced": f"{stage}-*",
        }[moment]
        before = {(path, path.stat().st_ino) for path in folder[moment].glob(pattern)}
        limit = time.monotonic() + _PATIENCE

        def happened() -> bool:
            try:
                found = {(path, path.stat().st_ino) for path in folder[moment].glob(pattern)}
            except OSError:
                return True  # it went away while we looked
            return bool(found - before)

        while process.poll() is None and not happened():
            assert time.monotonic() < limit, "the run hangs"
        time.sleep(self.random.uniform(0, 0.003))

    def _check_between(self, work: Path, over_old: bool) -> tuple[str, ...]:
        """Every stage is as it was before or as it will be; ``status`` agrees. The stages left to do."""
        current = "done"
        for stage in reversed(STAGES):
            found = stage_files(work / stage)
            found.pop(_OWN_FILES.get(stage, ""), None)
            allowed = [{}, self.expected[stage], *([self.old[stage]] if over_old else [])]
            assert found in allowed, f"{stage} is neither old nor new: {_difference(found, self.expected[stage])}"
            if found != self.expected[stage]:
                current = stage
        self.outcome.in_stage[current] += 1
        if self.outcome.kills % self.status_every == 0:
            said = self._must("status", "--json", "-c", self.config, "--set", f"work_dir={work}").stdout
            states = {entry["stage"]: entry["state"] for entry in json.loads(said)["stages"]}
            self.outcome.status_calls += 1
            assert list(states) == list(STAGES)
            assert "damaged" not in states.values(), states
            for stage in STAGES[: STAGES.index(current)] if current != "done" else STAGES:
                assert states[stage] == "current", states
        return STAGES[STAGES.index(current) :] if current != "done" else ()

    def run(self, kills: int, until: float = float("inf")) -> Outcome:
        """So many kills, or as many as fit before a time (of the monotonic clock)."""
        while self.outcome.kills < kills and time.monotonic() < until:
            self.interrupt_until_done(over_old=self.outcome.finished_runs % 2 == 1, kills=kills)
        return self.outcome


def _wait(condition: Any) -> None:
    limit = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < limit, "the run does not start"
        time.sleep(0.001)


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--status-every", type=int, default=10, help="call `negmine status` after every n-th kill")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further run after so long")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="negmine-crash-") as folder:
        started = time.monotonic()
        campaign = Campaign(Path(folder), options.seed, status_every=options.status_every)
        sys.stdout.write(f"an uninterrupted run works for {campaign.duration:.2f} s\n")
        try:
            campaign.run(options.kills, started + 60 * options.minutes)
        except AssertionError:
            kept = tempfile.mkdtemp(prefix="negmine-crash-failed-")
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            sys.stdout.write(f"FAILED at kill {campaign.outcome.kills}; the files are kept in {kept}\n")
            raise
        sys.stdout.write(f"{campaign.outcome}\nin {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main()
