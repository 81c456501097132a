"""Positives and kept negatives, part by part of filter, and the texts that stand for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.arrays import find_pairs, spans
from negmine.config.mining import DENSE
from negmine.errors import ArtifactError
from negmine.stages.base import Job
from negmine.stages.export.splitting import queries_in
from negmine.stages.export.targets import Split
from negmine.stages.final import final_stage, kept_rows
from negmine.stages.judged import held_out, promoted
from negmine.stages.scored import positive_scores
from negmine.stages.texts import passage_texts, passages_of, queries_of
from negmine.store.tables import rows_between, to_numpy
from negmine.text import Template
from negmine.writers import Cells, Groups, Rows

AT_ONCE = 100_000
"""Passages of rows whose texts are put together at once: a query may have many positives."""
_NEEDED = ("query", "passage", "score", "position")


class Chunk:
    """The queries of one part of the final verdicts: their groups, and the rest of what is known of them.

    Dropped pairs are left out, and with them the negatives of a query that has no other; so is what belongs
    to queries that are not ``within`` (q,) the split, or that the judge holds out. What it promotes comes after the
    labelled positives of its query. ``columns`` are further ones of the negatives, ``needs`` as of a format.
    """

    def __init__(
        self,
        job: Job,
        path: str,
        start: int,
        stop: int,
        within: np.ndarray | None = None,
        columns: Sequence[str] = (),
        needs: Sequence[str] = (),
    ) -> None:
        self.start, self.stop = start, stop
        file = job.file(final_stage(job.config), path)
        finders = ("retrievers",) if "found_by" in needs else ()
        kept = pa.Table.from_batches(kept_rows(file, list(dict.fromkeys([*_NEEDED, *columns, *finders]))))
        order = [("query", "ascending"), ("score", "descending"), ("position", "ascending")]
        self.kept = kept.take(pc.sort_indices(kept, order))
        scored = job.file("mine", "positives.parquet")
        positives = rows_between(scored, "query", start, stop, ["query", "passage", "score", "doc_id"])
        if (scorer := job.config.scorers[0]) != DENSE:
            scores = positive_scores(job, scorer, to_numpy(positives["query"]), to_numpy(positives["passage"]))
            positives = positives.set_column(positives.column_names.index("score"), "score", pa.array(scores))
        if job.config.pairs.action == "drop":
            rows = rows_between(job.file("filter", "pairs.parquet"), "query", start, stop, ["dropped"])
            positives = positives.filter(pc.invert(rows["dropped"]))
            self.kept = self.kept.filter(pc.is_in(self.kept["query"], value_set=_one_array(positives["query"])))
        positives, self.promoted = _with_promoted(positives, promoted(job, file))
        chosen = ~held_out(job) if within is None else within & ~held_out(job)
        if not chosen.all():
            staying = chosen[to_numpy(positives["query"])]
            positives, self.promoted = positives.filter(pa.array(staying)), self.promoted[staying]
            self.kept = self.kept.filter(pa.array(chosen[to_numpy(self.kept["query"])]))
        self.positive_ids = _one_array(positives["doc_id"])
        query, passage = to_numpy(positives["query"]), to_numpy(positives["passage"])
        self.groups = Groups(
            spans(query - start, stop - start),
            passage,
            _finite(positives, scored),
            spans(to_numpy(self.kept["query"]) - start, stop - start),
            to_numpy(self.kept["passage"]),
            _finite(self.kept, file),
            grade=_grades(job, query, passage, start, stop) if "grade" in needs else None,
            found_by=self.negatives("retrievers") if finders else None,
        )

    def negatives(self, column: str) -> pa.Array:
        """A column of the negatives, in the order of the groups."""
        return _one_array(self.kept[column])


def chunks(job: Job, split: Split = None, *, columns: Sequence[str] = (), needs: Sequence[str] = ()) -> Iterator[Chunk]:
    """All parts of the final verdicts in turn, each with the queries of one split (None: of all)."""
    queries, size = job.manifest("ingest").counts["distinct_queries"], job.config.mine.part_queries
    within = None if split is None else queries_in(job, split)
    paths = sorted(part.path for part in job.manifest(final_stage(job.config)).parts if part.path.startswith("part-"))
    for number, path in enumerate(paths):
        start = number * size
        yield Chunk(job, path, start, min(start + size, queries), within, columns, needs)


def cells(job: Job, chunk: Chunk, rows: Rows, encode: Callable[[pa.Array], pa.Array]) -> Cells:
    """What the columns of rows of a chunk are made of; ``encode`` as of the file they go to."""
    read: dict[str, pa.Table] = {}

    def of_queries(name: str) -> pa.Array:
        return _one_array(queries_of(job).slice(chunk.start, chunk.stop, [name])[name])

    def of_passages(numbers: np.ndarray, name: str) -> pa.Array:
        if not read:
            read["rows"] = passages_of(job).take(numbers, passage_columns(job))
        return passage_column(job, read["rows"], name)

    return Cells(rows, chunk.groups, encode, of_queries, of_passages)


def passage_columns(job: Job) -> list[str]:
    """The columns of the corpus that ``passage_column`` is made from."""
    return list(dict.fromkeys(["doc_id", "title", "text", *_template(job).names]))


def passage_column(job: Job, found: pa.Table, name: str) -> pa.Array:
    """A column of passages, named as in ``Cells``.

    Where ``data.passage_template`` is not the default, the text is what it makes, and there is no title apart:
    whoever joins the two would make something else.
    """
    template = _template(job)
    if name == "passage" or (name == "text" and not template.is_default):
        return _one_array(passage_texts(found, template))
    if name == "title" and not template.is_default:
        return pa.array([""] * found.num_rows, pa.large_string())
    return _one_array(found[name])


def _template(job: Job) -> Template:
    return job.resource("template", lambda: Template(job.config.data.passage_template))


def _finite(table: pa.Table, path: Path) -> np.ndarray:
    scores = to_numpy(table["score"])
    if not np.isfinite(scores).all():
        raise ArtifactError("a score is not a finite number", where=str(path))
    return scores


def _with_promoted(positives: pa.Table, more: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """Positives by query with those that the judge adds, and which these are: bool (p,)."""
    new = np.repeat([False, True], [positives.num_rows, more.num_rows])
    if not more.num_rows:
        return positives, new
    joined = pa.concat_tables([positives.select(more.column_names), more])
    order = np.argsort(to_numpy(joined["query"]), kind="stable")
    return joined.take(pa.array(order)), new[order]


def _grades(job: Job, query: np.ndarray, passage: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The greatest grade that each pair is labelled with; what the judge promotes has the least that counts."""
    labels = rows_between(
        job.file("ingest", "positives.parquet"), "query", start, stop, ["query", "passage", "grade"]
    ).sort_by([("query", "ascending"), ("passage", "ascending"), ("grade", "descending")])
    of_query, of_passage, grade = (to_numpy(labels[name]) for name in ("query", "passage", "grade"))
    new = np.concatenate([[True], (np.diff(of_query) != 0) | (np.diff(of_passage) != 0)])[: len(of_query)]
    row = find_pairs(query, passage, of_query[new], of_passage[new], len(passages_of(job)))
    best: np.ndarray = np.where(row >= 0, grade[new][row], float(job.config.data.min_grade))
    return best


def _one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A chunked column as one array."""
    joined = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined
