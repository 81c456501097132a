"""The ``filter`` section: which candidates become negatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from negmine.config.values import Names, Problem, Section, found, worded

RERANK = "rerank"
"""The scorer that is a cross-encoder; the others are `dense` and further retrievers that score."""


def _score(value: Any) -> str | tuple[str, ...]:
    """``auto``, a scorer, or several; a list of one is that one. Which scorers there are is checked later."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    wrong = [item for item in listed if not isinstance(item, str) or not item]
    if wrong or not listed:
        met = found(wrong[0]) if wrong else "an empty list"
        raise worded(f"expected auto, a scorer or a list of scorers, found {met}", "Such as dense, or [dense, bm25].")
    if len(set(listed)) < len(listed):
        raise worded(f"'{next(name for name in listed if listed.count(name) > 1)}' is listed twice")
    if len(listed) > 1 and "auto" in listed:
        raise worded("'auto' is no scorer, and stands alone", "Name the scorers, such as [dense, rerank].")
    return listed[0] if len(listed) == 1 else tuple(listed)


Score = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_score),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
            ],
            "examples": ["auto", "dense", RERANK, "bm25", ["dense", "bm25"]],
        }
    ),
]
"""Whose scores decide."""


class RiskConfig(Section):
    """The limit on a candidate's probability of being relevant; the strictest of those set counts."""

    example: ClassVar[str] = "{max: 0.1}"

    as_hard_as: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="The least limit whose negatives are on average as hard (mean score) as those of this"
        " relative margin, and which leaves 95% of the slots filled.",
    )
    max: float | None = Field(default=None, gt=0, lt=1, description="Keep a candidate only if its probability <= this.")
    target_fnr: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The greatest limit whose negatives have on average at most this probability.",
    )
    weights: Literal["auto", "shipped"] = Field(
        default="auto",
        description="`auto` fits the model on the run's own queries with several positives when there are"
        " enough, else takes the `shipped` one.",
    )

    def problems(self) -> Iterator[Problem]:
        if self.as_hard_as is None and self.max is None and self.target_fnr is None:
            yield Problem(
                ("",),
                "none of as_hard_as, max and target_fnr is set, and a section of your own replaces the default one",
                "Set one of them, or write risk: null for no limit.",
            )


class NearDuplicatesConfig(Section):
    """When a candidate is nearly a positive's text."""

    example: ClassVar[str] = "{jaccard: 0.8}"

    jaccard: float | None = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Drop a candidate if its word 5-grams and those of a positive have at least this Jaccard"
        " similarity.",
    )
    cosine: float | None = Field(
        default=None, ge=-1, le=1, description="Drop a candidate if its cosine to a positive >= this."
    )

    def problems(self) -> Iterator[Problem]:
        if self.jaccard is None and self.cosine is None:
            yield Problem(
                ("",), "neither jaccard nor cosine is set", "Set one of them, or write near_duplicates: null for never."
            )


class PairsConfig(Section):
    """What is done about labelled pairs that are suspicious: badly ranked, or labelled both ways."""

    max_rank: int | None = Field(
        default=None,
        ge=1,
        description="A pair whose positive its own query finds at a worse rank than this (not counting the"
        " query's other positives), or not at all, is suspicious; null for no limit.",
    )
    action: Literal["keep", "flag", "drop"] = Field(
        default="flag",
        description="`keep` only counts what is found about pairs; `flag` also lists it per pair in"
        " filter/pairs.parquet; `drop` also leaves suspicious pairs out of the reference scores and the"
        " training files.",
    )


_JUDGING = (
    "absolute_margin",
    "relative_margin",
    "leak_rate",
    "positive_similarity",
    "relative_positive_similarity",
    "risk",
)
"""Keys of the rules that take a candidate for relevant."""

DEFAULT_RISK = RiskConfig(as_hard_as=0.05, max=0.5)


class FilterConfig(Section):
    """Which candidates become negatives."""

    score: Score = Field(
        default="auto",
        description="Whose score decides: `dense` (closeness of the vectors), `rerank` (the cross-encoder), `bm25` or a"
        " further encoder of `mine.retrievers`; `auto` is the reranker where there is one, else `dense`. With a list"
        " such as `[dense, bm25]` the margins must hold under each, or as `agreement` says, and the first decides all"
        " else.",
    )
    reference: Literal["min", "max", "mean"] = Field(
        default="min", description="Which of a query's positive scores the margins are measured from."
    )
    risk: RiskConfig | None = Field(
        default=DEFAULT_RISK,
        description="The limit on the probability that a candidate is relevant; null for none. What you set of it"
        " replaces the default as a whole: with `max` alone, `as_hard_as` is null.",
    )
    absolute_margin: float | None = Field(
        default=None, ge=0, description="Keep a candidate only if its score + this <= the reference score."
    )
    relative_margin: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Keep a candidate only if its score <= reference - |reference| * this.",
    )
    leak_rate: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Keep a candidate only if its score is below the reference by a margin that at most this share"
        " of hidden positives passes; the margin is calibrated on queries with several positives.",
    )
    positive_similarity: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Keep a candidate only if its greatest cosine to a positive of the query is <= this: what is very"
        " like the answer is probably an answer too.",
    )
    relative_positive_similarity: float | None = Field(
        default=None,
        description="The same in standard deviations from the mean of the query's candidates.",
    )
    near_duplicates: NearDuplicatesConfig | None = Field(
        default=NearDuplicatesConfig(), description="When a candidate is nearly a positive's text; null for never."
    )
    agreement: Literal["any", "most", "all"] = Field(
        default="any",
        description="How many of the rules above that take a candidate for relevant (margins, similarities, risk) have"
        " to object before it is dropped.",
    )
    max_score: float | None = Field(default=None, description="Keep a candidate only if its score <= this.")
    min_score: float | None = Field(default=None, description="Keep a candidate only if its score >= this.")
    exclude_same: Names = Field(
        default=(),
        description="Columns of `data.metadata`: a candidate with the value of a positive in one of them is dropped,"
        " such as another chunk of the positive's document.",
    )
    range_min: int = Field(default=0, ge=0, description="Skip so many of the best candidates that survived.")
    range_max: int | None = Field(
        default=None,
        ge=1,
        description="Take negatives only from the first so many candidates that survived: matters when they"
        " are drawn at random.",
    )
    max_rank: int | None = Field(
        default=None, ge=1, description="Take negatives only from the first so many candidates as mined."
    )
    num_negatives: int = Field(default=5, ge=1, description="Negatives per query.")
    sampling_strategy: Literal["top", "random", "softmax", "simans", "spread"] = Field(
        default="top",
        description="Take the best of what survived (`top`), or draw from it with the seed: evenly (`random`), by"
        " exp(score) (`softmax`), by nearness to the reference score (`simans`), or one from each of num_negatives"
        " bands of rank (`spread`).",
    )
    sampling_temperature: float = Field(
        default=1.0,
        gt=0,
        description="softmax and simans: width of the draw, in standard deviations of the query's survivors.",
    )
    sampling_offset: float = Field(
        default=0.0,
        description="simans: how far above the reference score (in the same unit) a negative is drawn most often.",
    )
    max_reuse: int | None = Field(
        default=None,
        ge=1,
        description="How many queries a passage may be a negative of; the queries it is closest to have it.",
    )
    random_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of num_negatives that are random passages (marked) instead."
    )
    on_shortage: Literal["fewer", "drop", "random", "error"] = Field(
        default="fewer",
        description="A query with too few negatives: keep it with `fewer`, `drop` it, fill up with `random`"
        " passages (marked), or stop with an `error`.",
    )

    def problems(self) -> Iterator[Problem]:
        for i, name in enumerate(self.exclude_same):
            if name in self.exclude_same[:i]:
                yield Problem(("exclude_same",), f"'{name}' is listed twice")
        yield from self._sampling_problems()
        judging = [name for name in _JUDGING if getattr(self, name) is not None]
        more = len(self.score) - 1 if isinstance(self.score, tuple) else 0  # each scorer has a margin of its own
        of_each = more * sum(getattr(self, name) is not None for name in ("relative_margin", "leak_rate"))
        if self.agreement != "any" and len(judging) + of_each < 2:
            yield Problem(
                ("agreement",),
                f"'{self.agreement}' needs two rules that can agree, and {judging[0] if judging else 'none'} is set",
                f"Set another of {', '.join(_JUDGING)}, or agreement: any.",
            )
        low, high = self.min_score, self.max_score
        if low is not None and high is not None and low > high:
            yield Problem(("min_score", "max_score"), f"{low:g} is above filter.max_score, {high:g}")
        if self.range_max is not None:
            if self.range_min >= self.range_max:
                yield Problem(
                    ("range_min", "range_max"),
                    f"{self.range_min} is not below filter.range_max, {self.range_max}",
                )
            elif self.num_negatives > self.range_max - self.range_min:
                yield Problem(
                    ("num_negatives", "range_max", "range_min"),
                    f"{self.num_negatives} negatives do not fit between filter.range_min, {self.range_min},"
                    f" and filter.range_max, {self.range_max}",
                )
        needed = self.range_min + self.num_negatives
        if self.max_rank is not None and needed > self.max_rank:
            yield Problem(
                ("max_rank", "num_negatives", "range_min"),
                f"{self.max_rank} is too low for filter.range_min + filter.num_negatives, {needed}",
            )

    def _sampling_problems(self) -> Iterator[Problem]:
        for key, strategies in _DRAWN_BY.items():
            unused = self.sampling_strategy not in strategies
            if unused and getattr(self, key) != FilterConfig.model_fields[key].default:
                where = f"applies only to {' and '.join(strategies)}, and filter.sampling_strategy is"
                yield Problem((key,), f"{where} {self.sampling_strategy}", "Remove it.")
        if self.random_share > 0 and not round(self.num_negatives * self.random_share):
            yield Problem(
                ("random_share", "num_negatives"),
                f"{self.random_share:g} of {self.num_negatives} negatives (filter.num_negatives) rounds to none",
            )


_DRAWN_BY = {"sampling_temperature": ("softmax", "simans"), "sampling_offset": ("simans",)}
"""Strategies that a key of the draw means something to."""
