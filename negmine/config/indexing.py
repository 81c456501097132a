"""The ``index`` section of a config."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from negmine.config.retrievers import Bm25Config
from negmine.config.values import Problem, Section, Text


class IndexConfig(Section):
    """The structures that passages are searched by."""

    dense: Text = Field(
        default="exact",
        description="`exact` compares every query with every passage; `auto` only with the lists of passages near it,"
        " where that is faster; else a faiss factory string such as `IVF1024,Flat`.",
        examples=["exact", "auto", "HNSW32", "IVF1024,Flat"],
    )
    search_params: Text | None = Field(
        default=None,
        description="faiss search parameters, such as `nprobe=32` (for faiss indexes only); `null`: the least that"
        " reach `recall_target`.",
        examples=["nprobe=32", "efSearch=128"],
    )
    recall_target: float | None = Field(
        default=0.98,
        gt=0,
        le=1,
        description="Share of the `mine.k` nearest passages that must be found, with a confidence of 95%, measured on"
        " queries drawn by the seed. `auto` falls back to exact search below it, a faiss index is refused. `null`: not"
        " measured. `exact` finds them all.",
    )

    device: Text = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$",
        description="Where exact search computes: `cpu`, `cuda`, `cuda:1`, or `auto`: on a GPU if torch finds one. The"
        " results are the same. Searches of lists and of faiss indexes run on the CPU.",
        examples=["cpu", "cuda", "cuda:1"],
    )
    bm25: Bm25Config = Field(default_factory=Bm25Config, description="How `bm25` of `mine.retrievers` compares words.")

    def problems(self) -> Iterator[Problem]:
        exact = self.dense in ("exact", "auto") or self.recall_target is not None
        if self.device.startswith("cuda") and not exact:
            yield Problem(
                ("device",), "a faiss index is searched on the CPU, and recall_target is not set", "Set it to auto."
            )
        if self.dense in ("exact", "auto") and self.search_params is not None:
            yield Problem(
                ("search_params",), f"applies only to a faiss index, and index.dense is {self.dense}", "Remove it."
            )
        if self.dense == "auto" and self.recall_target is None:
            yield Problem(
                ("recall_target",), "index.dense: auto searches as far as the target asks", "Set it, such as to 0.98."
            )
