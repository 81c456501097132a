"""``report.json``: what the filter did to the run as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from negmine.selection.verdicts import reason_names
from negmine.stages.base import Job
from negmine.stages.filter.loading import scorers_of
from negmine.stages.tally import tally
from negmine.store.files import read_json


def report(job: Job, parts: Sequence[str]) -> Mapping[str, int]:
    """Look at every verdict and publish the report."""
    found = tally(job, [job.own(part) for part in parts], reason_names(job.config.filter.exclude_same))
    calibration = read_json(job.own("calibration.json"))
    risk = {
        "limit": calibration["risk_limit"],
        "mean": found["risk"],
        "model": "fitted on this run" if calibration["fitted_on"] else "shipped",
        "fitted_on": calibration["fitted_on"],
    }
    last = {key: found.pop(key) for key in ("hubs", "starved", "starved_not_listed")}
    found |= {"risk": risk, "leak_margin": calibration["leak_margin"], **_leak_margins(job, calibration)}
    found["leak"] = calibration["leak"]
    found |= {"pairs": read_json(job.own("pairs.json")), **last}
    job.facts["leak"] = found["leak"] or {}
    if scorers_of(job):
        job.facts["scorers"] = list(job.config.scorers)
    with job.publish("report.json") as output:
        output.path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        output.rows = 1
    return {name: found[name] for name in ("queries_with_all", "queries_without_any")}


def _leak_margins(job: Job, calibration: Mapping[str, Any]) -> dict[str, Any]:
    """The calibrated margin of each scorer, where several have one."""
    if not calibration.get("more_leak_margins"):
        return {}
    margins = [calibration["leak_margin"], *calibration["more_leak_margins"]]
    return {"leak_margins": dict(zip(job.config.scorers, margins, strict=True))}
