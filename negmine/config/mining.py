"""Config of mining: which retrievers name candidates, and how many."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, Strict, Tag

from negmine.config.values import PathText, Problem, Section, Text, found, worded
from negmine.errors import nearest

DENSE: Final = "dense"
BM25: Final = "bm25"
GIVEN: Final = "given"
RESERVED = (DENSE, GIVEN, "random", "rerank", "auto")
"""Names that the tool gives itself: candidates and scores of others must not be taken for them."""

TAGS = ("<name>", "<run>")
"""What validation calls the two kinds of an entry in ``mine.retrievers``; they are no part of a key."""


def mark(name: str) -> str:
    """A name that can mark candidates. Raises what validation shows for another."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise worded(f"expected a name of letters, digits, '.', '_' and '-', found {found(name)}", "Such as bm25.")
    if name in RESERVED:
        raise worded(f"'{name}' marks candidates of negmine's own", "Give it another name.")
    return name


class RunConfig(Section):
    """The results of another retriever, in a run file."""

    run: PathText = Field(
        description="Run file, also .gz or .zst: TREC's six columns (`query Q0 document rank score tag`), or three"
        " (`query document score`, or a rank), with which `kind` must be set."
    )
    name: Annotated[Text, AfterValidator(mark)] = Field(
        description="What its candidates are marked with, such as `bm25`."
    )
    kind: Literal["auto", "score", "rank"] = Field(
        default="auto",
        description="What orders the documents of a query: their `score` (greatest first) or their `rank`; `auto` is"
        " the score of a file with six columns.",
    )
    depth: int | None = Field(
        default=None,
        ge=1,
        description="How many candidates are taken per query; its own positives are not counted. `mine.k` when null.",
    )

    example = "{run: bm25.trec, name: bm25}"


def _kind_of_entry(entry: Any) -> str:
    return TAGS[0] if isinstance(entry, str) else TAGS[1]


Retriever = Annotated[
    Annotated[Text, Tag(TAGS[0])] | Annotated[RunConfig, Tag(TAGS[1])],
    Discriminator(_kind_of_entry),
]


class MineConfig(Section):
    """Which candidates are looked at, and how many."""

    retrievers: Annotated[tuple[Retriever, ...], Strict(False)] = Field(
        default=(DENSE,),
        description="What names candidates: `dense` (the search over the vectors), `bm25` (the search over the words),"
        " the names of further encoders (`embed.others`), and run files of other systems (`{run: splade.trec, name:"
        " splade}`).",
        examples=[[DENSE], [DENSE, BM25], [DENSE, "gte"], [DENSE, {"run": "splade.trec", "name": "splade"}]],
    )
    k: int = Field(
        default=100, ge=1, description="Candidates per query and retriever; its own positives are not counted."
    )
    fusion: Literal["none", "rrf"] = Field(
        default="none",
        description="`none`: all that the retrievers name, ordered by the closeness of the vectors; `rrf`: ordered by"
        " their reciprocal ranks together, and the best `k` of these.",
    )
    quotas: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict,
        description="How many candidates per query a retriever that searches may name, where that is less than `k`,"
        " such as `{bm25: 50}`. With 0 it only gives its scores to the candidates of the others.",
        json_schema_extra={"default": {}},
    )
    part_queries: int = Field(
        default=8192, ge=1, description="Queries per part file: the most work an interruption can cost."
    )

    @property
    def dense(self) -> bool:
        """Whether the vectors are searched."""
        return DENSE in self.retrievers

    @property
    def bm25(self) -> bool:
        """Whether the words are searched."""
        return BM25 in self.retrievers

    @property
    def searched(self) -> tuple[str, ...]:
        """The retrievers that search, in order: `dense`, `bm25` and further encoders."""
        return tuple(entry for entry in self.retrievers if isinstance(entry, str))

    @property
    def further(self) -> tuple[str, ...]:
        """Those that score candidates besides `dense`, which always does."""
        return tuple(name for name in self.searched if name != DENSE)

    @property
    def runs(self) -> tuple[RunConfig, ...]:
        """The run files."""
        return tuple(entry for entry in self.retrievers if isinstance(entry, RunConfig))

    @property
    def names(self) -> tuple[str, ...]:
        """What the retrievers are called, in order, and after them the negatives that came with the labels."""
        return (*(entry.name if isinstance(entry, RunConfig) else entry for entry in self.retrievers), GIVEN)

    @property
    def most(self) -> int:
        """How many candidates all retrievers can find for a query (without those that came with the labels)."""
        searched = sum(self.quotas.get(name, self.k) for name in self.searched)
        total = searched + sum(run.depth or self.k for run in self.runs)
        return total if self.fusion == "none" else min(total, self.k)

    def problems(self) -> Iterator[Problem]:
        names = self.names[:-1]
        for i, name in enumerate(names):
            if name in names[:i]:
                at = f"retrievers.{i}" if isinstance(self.retrievers[i], str) else f"retrievers.{i}.name"
                yield Problem((at,), f"'{name}' is also the name of mine.retrievers.{names.index(name)}")
        if self.fusion != "none" and len(names) < 2:
            yield Problem(
                ("fusion",), f"{self.fusion} merges several retrievers, and there is one", "Remove it, or name another."
            )
        yield from self._quota_problems(names)
        searching = self.searched or self.fusion != "none"
        if "k" in self.model_fields_set and not searching and all(run.depth is not None for run in self.runs):
            yield Problem(
                ("k",), "applies to no retriever: nothing is searched, and no run is without depth", "Remove it."
            )

    def _quota_problems(self, names: tuple[str, ...]) -> Iterator[Problem]:
        for name, quota in self.quotas.items():
            key = f"quotas.{name}"
            if name not in names:
                hint = nearest(name, list(names)) or f"The retrievers are {', '.join(names)}."
                yield Problem((key,), f"'{name}' is not in mine.retrievers", hint)
            elif name not in self.retrievers:
                yield Problem((key,), f"'{name}' is a run", "Set its depth in mine.retrievers.")
            elif quota > self.k:
                yield Problem((key,), f"{quota} is more than mine.k, which is {self.k}", "Raise mine.k, or remove it.")
