"""The ``checks`` section of a config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from negmine.config.values import PathText, Problem, Section


class ChurnBoundConfig(Section):
    """Another run, and how far the negatives may differ from its."""

    example: ClassVar[str] = "{run: runs/released, churn: 0.3}"

    run: PathText = Field(description="The run to compare with: a work_dir, its URL, or a config file.")
    churn: float = Field(
        ge=0,
        le=1,
        description="Most churn: 1 - the mean Jaccard index of the negatives of the queries that both runs have.",
    )


class ChecksConfig(Section):
    """Bounds that `negmine check` holds a finished run against; one that is null is not checked."""

    min_yield: float | None = Field(
        default=None, ge=0, le=1, description="Least share of the slots (`filter.num_negatives` times queries) filled."
    )
    min_queries: int | None = Field(default=None, ge=1, description="Least number of queries with negatives.")
    max_starved: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Most queries with fewer than `filter.num_negatives` negatives, as a share of all.",
    )
    max_leak: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Most hidden positives that come back as negatives, as a share of those exposed (`leak` of"
        " `filter/report.json`).",
    )
    max_estimated_fnr: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Most false negatives, as estimated by `negmine audit` for the negatives as they are.",
    )
    max_hub_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Most queries, as a share of those with negatives, that one passage may be a negative of.",
    )
    max_churn_against: ChurnBoundConfig | None = Field(
        default=None, description="How far the negatives may differ from those of another run."
    )
    estimates: Literal["upper", "point"] = Field(
        default="upper",
        description="What of a leak or an estimated false-negative rate has to keep its bound: the `upper` end of its"
        " 95% interval, or the `point` itself.",
    )
    unmeasured: Literal["fail", "skip"] = Field(
        default="fail", description="What becomes of a bound on something that was not measured."
    )

    def problems(self) -> Iterator[Problem]:
        bounds = [name for name in ChecksConfig.model_fields if name not in ("estimates", "unmeasured")]
        if all(getattr(self, name) is None for name in bounds):
            yield Problem(("unmeasured", "estimates"), "no bound is set", f"Set one of {', '.join(bounds)}.")
        elif self.estimates != "upper" and self.max_leak is None and self.max_estimated_fnr is None:
            cause = "applies only to max_leak and max_estimated_fnr, and neither is set"
            yield Problem(("estimates",), cause, "Remove it, or set one of them.")
