"""The rules about which scores the filter can go by, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from negmine.config.embedding import OtherEncoderConfig
from negmine.config.filtering import RERANK, FilterConfig
from negmine.config.mining import BM25, DENSE, MineConfig
from negmine.config.reranking import RerankConfig
from negmine.config.values import Problem
from negmine.errors import nearest


@dataclass(frozen=True)
class Scoring:
    """What decides about scores: ``scorers`` are those that the filter goes by, the first decides all but margins."""

    section: FilterConfig
    mine: MineConfig
    others: tuple[OtherEncoderConfig, ...]
    rerank: RerankConfig | None
    scorers: tuple[str, ...]

    def problems(self) -> Iterator[Problem]:
        """The rules that do not hold."""
        unknown = list(self._unknown())
        yield from unknown
        if RERANK not in self.scorers and self.rerank is not None and not unknown:
            yield Problem(
                ("filter.score", "rerank"),
                "the candidates are scored by the reranker, and no rule uses these scores",
                "Write filter.score: rerank, or rerank: null.",
            )
        if unknown or self.scorers == (DENSE,):
            return
        yield from self._random_problems()
        if len(self.scorers) > 1:
            yield from self._several_problems()
        yield from self._scale_problems()

    def _unknown(self) -> Iterator[Problem]:
        known = [DENSE, RERANK, *self.mine.further]
        named: Collection[str] = (BM25, *(other.name for other in self.others))
        for name in self.scorers:
            if name == RERANK and self.rerank is None:
                yield Problem(
                    ("filter.score",),
                    "'rerank' needs a reranker",
                    "Set rerank.model or rerank.endpoint, or score: dense.",
                )
            elif name not in known and name in named:
                yield Problem(
                    ("filter.score", "mine.retrievers"),
                    f"'{name}' scores candidates only where it is in mine.retrievers",
                    f"Add it, with mine.quotas: {{{name}: 0}} if it is to name no candidates.",
                )
            elif name not in known:
                near = nearest(name, [*known, *named]) or "Runs and given negatives have no scores of their own."
                yield Problem(("filter.score",), f"there is no scorer '{name}': there are {', '.join(known)}", near)

    def _random_problems(self) -> Iterator[Problem]:
        section, asks = self.section, RERANK in self.scorers
        if (section.on_shortage == "random" or section.random_share > 0) and (asks or self.scorers[0] != DENSE):
            key = "random_share" if section.random_share > 0 else "on_shortage"
            instead = "Set it to 0." if section.random_share > 0 else "Set it to fewer or drop."
            why = "of the reranker" if asks else f"but that of the vectors, and '{self.scorers[0]}' decides"
            yield Problem((f"filter.{key}", "filter.score"), f"random passages have no score {why}", instead)

    def _several_problems(self) -> Iterator[Problem]:
        """The rules about the margins of several scorers."""
        section = self.section
        if section.absolute_margin is not None:
            yield Problem(
                ("filter.absolute_margin", "filter.score"),
                "means something else on each scale, and filter.score names several",
                "Name one scorer, or set filter.leak_rate, which finds a margin for each.",
            )
        if section.relative_margin is None and section.leak_rate is None:
            yield Problem(
                ("filter.score",),
                "several scorers are to agree on a margin, and neither filter.leak_rate nor filter.relative_margin is"
                " set",
                "Set one of them, or name one scorer.",
            )

    def _scale_problems(self) -> Iterator[Problem]:
        """No share is taken of a score that has no scale."""
        section = self.section
        for number, name in enumerate(self.scorers):
            why, key, other = self._no_scale(name)
            if not why:
                continue
            instead = "filter.leak_rate" if len(self.scorers) > 1 else "filter.absolute_margin or filter.leak_rate"
            if section.relative_margin is not None:
                hint = f"Set {instead} instead{other}."
                yield Problem(("filter.relative_margin", key), f"is a share of the reference score, and {why}", hint)
            if number == 0 and section.risk is not None and section.risk.as_hard_as is not None:
                yield Problem(
                    ("filter.risk.as_hard_as", key),
                    f"filter.risk.as_hard_as is a share of the reference score, and {why}",
                    f"Set filter.risk: {{max: 0.5}} or null{other}.",
                )

    def _no_scale(self, name: str) -> tuple[str, str, str]:
        """Why a scorer's scores have no scale, the key that says so, and what else to do; empty where they have."""
        if name == RERANK and self.rerank is not None and self.rerank.activation == "identity":
            why = "a logit (rerank.activation: identity) has no zero to take a share from"
            return why, "rerank.activation", ", or rerank.activation: sigmoid"
        sparse = any(other.name == name and other.kind == "sparse" for other in self.others)
        if name == BM25 or sparse:
            what = "BM25" if name == BM25 else f"'{name}'"
            return f"scores of {what} have no scale: they grow with the words of the query", "filter.score", ""
        return "", "", ""
