"""What the judge did, counted; and ``report.json``, which is filter's with the final verdicts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from negmine.selection.verdicts import JUDGE_REASONS, reason_names
from negmine.stages.base import Job
from negmine.stages.tally import tally
from negmine.store.files import read_json


def counted(judged: Counter[str]) -> dict[str, int]:
    """All counts of the stage, also those that are 0."""
    names = (
        "judged",
        "flagged",
        "confirmed",
        "by_people",
        "not_judged",
        "no_answer",
        "refused",
        "strong_asked",
        "strong_agreed",
        "refilled",
        "promoted",
        "queries_held_out",
    )
    return {name: judged[name] for name in names}


def report(job: Job, parts: Sequence[str], counts: Mapping[str, int]) -> Mapping[str, int]:
    """Look at the final verdicts and publish the report; ``counts`` are those of the judging."""
    reasons = (*reason_names(job.config.filter.exclude_same), *JUDGE_REASONS)
    found = tally(job, [job.own(part) for part in parts], reasons)
    filtered = read_json(job.file("filter", "report.json"))
    assert job.config.judge is not None
    judge = {
        "action": job.config.judge.action,
        **counts,
        "relevant_share": counts["confirmed"] / counts["judged"] if counts["judged"] else None,
        "agreement": counts["strong_agreed"] / counts["strong_asked"] if counts["strong_asked"] else None,
    }
    risk = {**filtered["risk"], "mean": found["risk"]}
    found |= {"risk": risk, **{key: filtered[key] for key in ("leak_margin", "leak", "pairs")}, "judge": judge}
    with job.publish("report.json") as output:
        output.path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
        output.rows = 1
    return {name: found[name] for name in ("queries_with_all", "queries_without_any")} | {
        "short_queries": len(found["starved"]) + found["starved_not_listed"]
    }
