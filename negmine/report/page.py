"""The page: everything that was collected of a run, as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import negmine
from negmine.report.choosing import DOUBTFUL, RISKIEST, SHORT
from negmine.report.collecting import Collected
from negmine.report.details import DROPPED, Details
from negmine.report.plots import margin_plot, score_plot, sweep_plots
from negmine.selection.bootstrap import ENOUGH_QUERIES
from negmine.selection.pairs import EXPLANATIONS as FINDINGS
from negmine.selection.verdicts import explanation
from negmine.sweep import Sweep

_FOLDER = Path(__file__).parent / "templates"
_PARTS = (
    ("stages", "Stages"),
    ("candidates", "Candidates"),
    ("scores", "Scores"),
    ("thresholds", "Thresholds"),
    ("hubs", "Hubs"),
    ("short", "Short queries"),
    ("labels", "Labels"),
    ("data", "Data"),
    ("search-quality", "Search"),
    ("queries", "Queries"),
    ("provenance", "Provenance"),
)
_NOTABLE = {RISKIEST: "riskiest negatives", SHORT: "fewest negatives", DOUBTFUL: "worst labelled pairs"}
_CAPTIONS = (
    "How many of the wanted negatives there would be.",
    "Mean score of the negatives. What is closer to the reference is harder, and likelier to be relevant.",
    "Share that would be false: hidden positives that come back, or what the model predicts.",
)
_EXACT = "Yes: every query was compared with every passage."
_UNMEASURED = "It was not measured: index.recall_target is null, or the vectors were not searched."
_COLOURED = 7
"""Reasons that have a colour of their own; the rest share one."""
_TEXT, _STARVED = 160, 200


def render(run: Collected) -> str:
    """The page, the same for the same run."""
    script = (_FOLDER / "script.js").read_text("utf-8")
    return (
        _environment()
        .get_template("report.html")
        .render(
            version=negmine.__version__,
            run=run,
            name=_name(run.provenance.work_dir),
            parts=_PARTS,
            finished=max((step.finished for step in run.steps), default="")[:16].replace("T", " "),
            style=(_FOLDER / "style.css").read_text("utf-8"),
            script=script,
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            not_current=_not_current(run),
            enough=ENOUGH_QUERIES,
            **_of_verdicts(run),
            **_of_scores(run),
            **_of_sweep(run.sweep.value),
            **_of_queries(run),
            data_facts=_data_facts(run.data.value),
            findings=FINDINGS,
            search_words=_EXACT if run.is_exact else _UNMEASURED,
            settings=(
                ("Set in the config", [s for s in run.provenance.settings if s.is_set or s.now is not None]),
                ("Left at their defaults", [s for s in run.provenance.settings if not s.is_set and s.now is None]),
            ),
        )
    )


@lru_cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("negmine.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    found.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    found.filters |= _FILTERS
    return found


def _name(work_dir: str) -> str:
    return work_dir.rstrip("/").rpartition("/")[2] or work_dir


def _not_current(run: Collected) -> list[str]:
    """Stages whose results are not what the config asks for now, or are not there."""
    lines = []
    for state, words in (
        ("stale", "what the page tells of them is the run as it was"),
        ("partial", "they were interrupted; what is told of them is older"),
        ("damaged", "files are not what was written, and are not read"),
        ("missing", "they have not run"),
    ):
        names = [name for name, found in run.stages.items() if found == state]
        if names:
            lines.append(f"{', '.join(names)}: {state} ({words}).")
    return [f"This run is not what its config asks for now. {line}" for line in lines]


def _of_verdicts(run: Collected) -> dict[str, Any]:
    found = run.verdicts.value
    counts = sorted(((n, name) for name, n in (found["reasons"] if found else {}).items() if n), key=lambda e: -e[0])
    total = sum(n for n, _ in counts)
    colours = {"kept": 0, "positive": 1}
    reasons = []
    for count, name in counts:
        colour = colours.setdefault(name, min(max(len(colours), 2), _COLOURED)) if name != "not_sampled" else _COLOURED
        reasons.append(
            {"name": name, "count": count, "share": count / total, "meaning": explanation(name), "colour": colour}
        )
    starved = found["starved"] if found else []
    short = run.shortage.value
    return {
        "reasons": reasons,
        "starved": starved[:_STARVED],
        "starved_more": short is not None and short.queries > _STARVED,
        "hub_total": sum(group[3] for group in run.hubs.value.groups) if run.hubs.value else 0,
    }


def _of_scores(run: Collected) -> dict[str, Any]:
    found, verdicts = run.scores.value, run.verdicts.value
    if found is None:
        return {"score_plot": None, "margin_plot": None}
    drawn = verdicts is not None and verdicts["margin"]["histogram"] is not None
    return {
        "score_plot": score_plot(found.histogram, "score", found.ranges),
        "margin_plot": margin_plot(verdicts["margin"]) if verdicts and drawn else None,
    }


def _of_sweep(found: Sweep | None) -> dict[str, Any]:
    if found is None:
        return {"points": [], "sweep_plots": [], "sweep_captions": ()}
    points = list(found.points) if any(p.is_current for p in found.points) else [found.current, *found.points]
    return {"points": points, "sweep_plots": sweep_plots(found), "sweep_captions": _CAPTIONS}


def _of_queries(run: Collected) -> dict[str, Any]:
    found = run.queries.value
    if found is None:
        return {"on_page": frozenset(), "dropped": DROPPED}
    wanted = run.shortage.value.wanted if run.shortage.value else 0
    names = {name for query in found.queries for row in query["positives"] for name in row[3]}
    return {
        "on_page": frozenset(query["id"] for query in found.queries),
        "dropped": DROPPED,
        "sample_words": sample_words(found, run.total_queries),
        "notable": {
            name: words for name, words in _NOTABLE.items() if any(name in query["why"] for query in found.queries)
        },
        "dropped_reasons": sorted(name for name in found.reasons if name not in ("kept", "positive")),
        "found_findings": sorted(names),
        "data": {**found.as_json(), "wanted": wanted},
    }


def sample_words(found: Details, total: int) -> str:
    """Which queries are on the page."""
    here = len(found.queries)
    if here == total:
        return f"All {total:,} queries."
    notable = sum(bool(query["why"]) for query in found.queries)
    drawn = f"{here - notable:,} drawn by the hash of their ids" if here > notable else "none drawn"
    kinds = ", ".join(_NOTABLE.values())
    return f"A sample: {here:,} of {total:,} queries, {drawn} and {notable:,} that are worth a look ({kinds})."


def _data_facts(found: Mapping[str, Any] | None) -> list[tuple[str, int]]:
    if found is None:
        return []
    return [
        ("queries whose text another has", found["queries"]["merged"]),
        ("queries that say what a passage says", found["queries"]["also_passages"]),
        ("documents whose text another has", found["passages"]["merged"]),
        ("documents whose id another has too", found["passages"]["ids_merged"]),
        ("blank documents", found["passages"]["blank"]),
        ("documents that were cut", found["passages"]["cut"]),
        ("pairs that were given twice", found["pairs"]["repeated"]),
        ("blank positives", found["pairs"]["blank"]),
        ("queries held back for evaluation", found["guarded"]["queries"]),
        ("passages held back for evaluation", found["guarded"]["passages"]),
        ("bad rows that were skipped", found["rejected"]),
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def _known(form: str) -> Any:
    return lambda value: "-" if value is None else format(value, form)


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT].rstrip()} …"


def _shares(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in found.items())


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 60 else f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def _size(value: int | None) -> str:
    if value is None:
        return ""
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def _code(text: str) -> Markup:
    """Text with what stands between backticks as code."""
    pieces = [escape(piece) for piece in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(pieces))


_FILTERS = {
    "n": _number,
    "p": _known(".1%"),
    "p2": _known(".2%"),
    "f": _known(".3f"),
    "f4": _known(".4f"),
    "value": lambda value: "null" if value is None else f"{value:g}",
    "cut": _cut,
    "shares": _shares,
    "seconds": _seconds,
    "size": _size,
    "code": _code,
}
