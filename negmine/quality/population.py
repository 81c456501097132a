"""The negatives of a finished filter, as an audit sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import find_pairs
from negmine.config import Config
from negmine.errors import ArtifactError
from negmine.labelling.sheet import Drawn
from negmine.selection.risk import features, shipped_model
from negmine.stages.base import Run
from negmine.stages.filter import load_part, mined_parts
from negmine.stages.final import kept_rows
from negmine.stages.texts import passage_texts, passages_of, queries_of
from negmine.store.manifest import Manifest
from negmine.store.tables import iter_batches, to_numpy
from negmine.store.workdir import WorkDir
from negmine.text import Template, text_digest

_POSITIVES = 5


@dataclass(frozen=True)
class Population:
    """Arrays (n,) over the kept negatives, in query order; ``retriever`` is a place in ``retrievers``.

    ``risk`` is 0 for random passages. Keys are hashes of the ids.
    """

    query: np.ndarray
    passage: np.ndarray
    position: np.ndarray
    risk: np.ndarray
    retriever: np.ndarray
    retrievers: tuple[str, ...]
    query_key: np.ndarray
    passage_key: np.ndarray

    def __len__(self) -> int:
        return len(self.query)


def population(config: Config, work: WorkDir, manifests: Mapping[str, Manifest], stage: str) -> Population:
    """All negatives by the verdicts of a ``stage``. Raises ArtifactError when a file is damaged, or when there are
    none."""
    run = Run(config, work)
    columns = ["query", "passage", "position", "risk", "retriever"]
    predicted = manifests["filter"].made_from["config"].get("filter.risk.weights") is not None
    parts: list[Any] = []
    for name, start, stop in mined_parts(run):
        kept = pa.Table.from_batches(kept_rows(run.file(stage, f"{name}.parquet"), columns)).combine_chunks()
        risk = to_numpy(pc.fill_null(kept["risk"], 0.0)) if predicted else _risk(run, kept, name, start, stop)
        parts.append(kept.set_column(columns.index("risk"), "risk", pa.array(risk, pa.float64())))
    kept = pa.concat_tables(parts)
    if not kept.num_rows:
        raise ArtifactError(
            f"{stage} kept no negative, so there is nothing to audit",
            where=work.name,
            hint="See why with: negmine explain -c CONFIG --starved",
        )
    codes = kept["retriever"].combine_chunks().dictionary_encode()
    names = codes.dictionary.to_pylist()
    order = np.argsort(names, kind="stable")
    query, passage = to_numpy(kept["query"]), to_numpy(kept["passage"])
    return Population(
        query=query,
        passage=passage,
        position=to_numpy(kept["position"]),
        risk=to_numpy(kept["risk"]),
        retriever=np.argsort(order)[to_numpy(codes.indices)],
        retrievers=tuple(names[place] for place in order),
        query_key=to_numpy(queries_of(run).column("id_hash"))[query],
        passage_key=to_numpy(passages_of(run).column("id_hash"))[passage],
    )


def _risk(run: Run, kept: pa.Table, name: str, start: int, stop: int) -> np.ndarray:
    """The risk that the shipped model sees in the ``kept`` rows of a part whose filter had no limit on it: (n,)."""
    same = run.manifest("filter").made_from["config"]["filter.exclude_same"]
    of = load_part(run, name, start, stop, same, numbers_only=True).candidates
    order = np.lexsort((of.passage, of.query))
    passages = run.manifest("ingest").counts["passages"]
    query, passage = to_numpy(kept["query"]) - start, to_numpy(kept["passage"])
    found = find_pairs(query, passage, of.query[order], of.passage[order], passages)
    risk = shipped_model().probability(features(of))
    return np.where(found >= 0, risk[order[found]], 0.0) if len(order) else np.zeros(len(query))


def drawn(
    config: Config, work: WorkDir, manifests: Mapping[str, Manifest], of: Population, rows: np.ndarray
) -> list[Drawn]:
    """The negatives of some rows with their texts and those of their best positives: ``Drawn``, in that order."""
    run = Run(config, work)
    numbers = np.unique(of.query[rows])
    queries = queries_of(run).take(numbers, ["query_id", "text"])
    names, texts = queries["query_id"].to_pylist(), queries["text"].to_pylist()
    positives = _best_positives(run, numbers)
    wanted = np.unique(np.concatenate([of.passage[rows], *positives]))
    template = Template(manifests["ingest"].made_from["config"]["data.passage_template"])
    documents = passages_of(run).take(wanted, list(dict.fromkeys(["doc_id", *template.names])))
    doc_ids, passages = documents["doc_id"].to_pylist(), passage_texts(documents, template).to_pylist()
    found = []
    for row in rows:
        q = int(np.searchsorted(numbers, of.query[row]))
        p, *others = np.searchsorted(wanted, [of.passage[row], *positives[q]]).tolist()
        pair = f"{text_digest(texts[q]).hex()}-{text_digest(passages[p]).hex()}"
        found.append(
            Drawn(pair, names[q], doc_ids[p], texts[q], tuple(passages[other] for other in others), passages[p])
        )
    return found


def _best_positives(run: Run, numbers: np.ndarray) -> list[np.ndarray]:
    """Passages of the positives of each query (ascending numbers), the best scored ones first, some at most."""
    pieces: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for batch in iter_batches(run.file("mine", "positives.parquet"), ["query", "passage", "score"]):
        rows = batch.filter(pc.is_in(batch["query"], value_set=pa.array(numbers)))
        pieces.append(tuple(to_numpy(rows[name]) for name in ("query", "passage", "score")))
    query, passage, score = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((passage, -score, query))
    ends = np.searchsorted(query[order], numbers, side="right")
    starts = np.searchsorted(query[order], numbers)
    return [passage[order[a : min(b, a + _POSITIVES)]] for a, b in zip(starts, ends, strict=True)]


def unknown_ids(run: Run, query_ids: list[str], doc_ids: list[str]) -> tuple[set[str], set[str]]:
    """Those of some ids of queries and of documents that are not in the run."""
    missing: list[set[str]] = []
    for ids, path, column in ((query_ids, "queries", "query_id"), (doc_ids, "corpus", "doc_id")):
        wanted, left = pa.array(ids, pa.string()), set(ids)
        for batch in iter_batches(run.file("ingest", f"{path}.parquet"), [column]):
            left -= set(batch.filter(pc.is_in(batch[column], value_set=wanted))[column].to_pylist())
        missing.append(left)
    return missing[0], missing[1]
