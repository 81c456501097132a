"""Which bounds of the ``checks`` section a finished run keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from negmine.comparing import compare
from negmine.config import Config
from negmine.config.checking import ChecksConfig
from negmine.errors import ArtifactError, ConfigError, InputError, StaleError, UsageError
from negmine.pipeline import status
from negmine.quality import stored_audit
from negmine.remote.opening import open_run
from negmine.stages.final import final_stage
from negmine.store.files import read_json
from negmine.store.workdir import WorkDir

Verdict = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """One bound: what was measured, and whether it is kept.

    ``value`` is what is compared, None when it could not be measured; ``interval`` the 95% interval of an estimate.
    ``at_least`` tells lower bounds from upper ones. ``detail`` says what was counted, or why nothing was.
    """

    name: str
    bound: float
    at_least: bool
    value: float | None
    interval: tuple[float, float] | None
    verdict: Verdict
    detail: str

    @property
    def is_share(self) -> bool:
        """Whether bound and value are shares, and no counts."""
        return self.name != "min_queries"


@dataclass(frozen=True)
class Checked:
    """All bounds that are set, in the order of the config, about the final verdicts with this ``fingerprint``."""

    fingerprint: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that are not kept."""
        return tuple(each for each in self.checks if each.verdict == "failed")

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {"passed": not self.failed, **asdict(self)}


@dataclass(frozen=True)
class _Found:
    """What was measured for a bound: ``low`` and ``high`` are the ends of its interval, if it is an estimate."""

    value: float | None
    detail: str
    low: float | None = None
    high: float | None = None


def check(config: Config) -> Checked:
    """Hold the run of a config against its ``checks``. Changes nothing.

    Raises ConfigError when no bound is set, StaleError when a stage of the run is not current, ArtifactError when one
    is damaged.
    """
    if config.checks is None:
        raise ConfigError(
            "there is nothing to check: no bound is set", where="checks", hint="Set one, such as checks.min_yield: 0.9."
        )
    _require_current(config)
    _, work = open_run(config)
    manifest = work.manifest(final_stage(config))
    assert manifest is not None
    report = read_json(work.file(manifest, "report.json"))
    measured = _Measured(config, work, report)
    return Checked(manifest.fingerprint, tuple(_checks(config.checks, measured)))


def _require_current(config: Config) -> None:
    for stage in status(config):
        if stage.state == "damaged":
            raise ArtifactError(
                f"{stage.stage} is damaged ({stage.why})", hint=f"Run: negmine {stage.stage} --repair -c CONFIG"
            )
        if stage.state != "current":
            raise StaleError(
                f"{stage.stage} is {stage.state} ({stage.why}), and only a finished run can be checked",
                hint="Run: negmine run -c CONFIG",
            )


def _checks(bounds: ChecksConfig, measured: _Measured) -> Iterator[Check]:
    for name, find in measured.by_name().items():
        bound = getattr(bounds, name)
        if bound is None:
            continue
        limit = bound.churn if name == "max_churn_against" else bound
        found = find()
        at_least = name.startswith("min_")
        interval = (found.low, found.high) if found.low is not None and found.high is not None else None
        value = interval[1] if interval is not None and bounds.estimates == "upper" else found.value
        if value is None:
            verdict: Verdict = "failed" if bounds.unmeasured == "fail" else "skipped"
        else:
            verdict = "passed" if (value >= limit if at_least else value <= limit) else "failed"
        yield Check(name, limit, at_least, value, interval, verdict, found.detail)


@dataclass(frozen=True)
class _Measured:
    """What bounds are about, each measured when it is asked for."""

    config: Config
    work: WorkDir
    report: Mapping[str, Any]

    def by_name(self) -> dict[str, Callable[[], _Found]]:
        return {
            "min_yield": self._yield,
            "min_queries": self._queries,
            "max_starved": self._starved,
            "max_leak": self._leak,
            "max_estimated_fnr": self._false_negatives,
            "max_hub_share": self._hub,
            "max_churn_against": self._churn,
        }

    @property
    def _with_negatives(self) -> int:
        return int(self.report["queries"] - self.report["queries_without_any"])

    def _yield(self) -> _Found:
        slots = self.report["queries"] * self.report["num_negatives"]
        return _Found(self.report["yield"], f"{self.report['negatives']:,} negatives for {slots:,} slots")

    def _queries(self) -> _Found:
        queries = self._with_negatives
        return _Found(queries, f"{queries:,} of {self.report['queries']:,} queries have negatives")

    def _starved(self) -> _Found:
        queries, filled = self.report["queries"], self.report["queries_with_all"]
        return _Found((queries - filled) / queries, f"{queries - filled:,} of {queries:,} queries came out short")

    def _leak(self) -> _Found:
        leak = self.report["leak"]
        if leak is None:
            return _Found(None, "not measured: no query has several positives")
        if leak["rate"] is None:
            return _Found(None, f"not measured: none of {leak['hidden']:,} hidden positives was exposed")
        detail = f"{leak['rate']:.2%}{_interval(leak['interval'])}, {leak['chosen']:,} of {leak['exposed']:,} exposed"
        return _Found(leak["rate"], detail, *leak["interval"])

    def _false_negatives(self) -> _Found:
        stored = stored_audit(self.work)
        if stored is None:
            return _Found(None, "not measured: there is no audit (negmine audit)")
        audit, is_current = stored
        if not is_current:
            return _Found(None, "not measured: the audit is of other negatives, audit these (negmine audit)")
        if audit["rate"] is None:
            return _Found(None, "not measured: no audited negative is labelled")
        missing = audit["sampled"] - audit["labelled"]
        unlabelled = f", {missing:,} more are not labelled" if missing else ""
        detail = f"{audit['rate']:.2%}{_interval(audit['interval'])}, {audit['labelled']:,} labelled{unlabelled}"
        return _Found(audit["rate"], detail, *audit["interval"])

    def _hub(self) -> _Found:
        if not self._with_negatives:
            return _Found(None, "not measured: no query has a negative")
        most, top = self.report["hubs"]["most_used"], self.report["hubs"]["top"]
        passage = f" ({top[0]['doc_id']})" if top else ""
        detail = f"a passage{passage} is a negative of {most:,} of {self._with_negatives:,} queries"
        return _Found(most / self._with_negatives, detail)

    def _churn(self) -> _Found:
        bounds = self.config.checks
        assert bounds is not None
        assert bounds.max_churn_against is not None
        try:
            found = compare(bounds.max_churn_against.run, self.config, most=0)
        except (UsageError, ArtifactError, InputError) as error:  # of the other run: this one is current
            return _Found(None, f"not measured: {error}")
        churn = found.churn
        if churn.churn is None:
            return _Found(None, "not measured: no query is in both runs")
        detail = f"{churn.gone:,} negatives gone, {churn.new:,} new, of {churn.queries:,} queries in both"
        only = churn.removed_queries + churn.new_queries
        return _Found(churn.churn, detail + (f" ({only:,} are in one run only)" if only else ""))


def _interval(ends: Sequence[float]) -> str:
    return f" ({ends[0]:.2%} to {ends[1]:.2%})"
