"""BM25 over a run's passages: the files that index makes for it, and the search that mine does in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine import schemas
from negmine.arrays import expand
from negmine.config import Config
from negmine.retrieval.bm25 import Bm25, Tokenizer, check_packages
from negmine.retrieval.sparse import Matches, Postings, TermCounts
from negmine.stages.base import Job, Output, Run, Task, ranges
from negmine.stages.texts import passage_texts, passages_of
from negmine.store.tables import TableWriter, read_columns, to_numpy
from negmine.text import Template

TASKS = "bm25"
"""What the names of its tasks begin with."""
COUNTED_ROWS = 32_768
"""Passages whose terms a task counts; a constant, so that files do not depend on the machine."""
_TEXTS = 1024
_OFFSETS, _PASSAGES, _WEIGHTS, _ABSENT = (f"bm25/{name}.npy" for name in ("offsets", "passages", "weights", "absent"))
_TERMS = "bm25/terms.parquet"


def check(config: Config) -> None:
    """Raise MissingDependencyError when BM25 is asked for and what it needs is not installed."""
    if config.mine.bm25:
        check_packages(stemmer=config.index.bm25.stemmer is not None)


def library(config: Config) -> dict[str, str | None]:
    """The version of the stemmer, where there is one: stems differ between versions."""
    stemmer = config.mine.bm25 and config.index.bm25.stemmer is not None
    try:
        return {"PyStemmer": version("PyStemmer") if stemmer else None}
    except PackageNotFoundError:
        return {"PyStemmer": None}


def count_tasks(passages: int) -> list[Task]:
    """Tasks that count the terms of ranges of passages; then comes ``merge_task``."""
    return ranges(passages, COUNTED_ROWS, f"{TASKS}-counts")


def merge_task(counts: Sequence[Task]) -> Task:
    """The task that makes the index of what ``counts`` published."""
    return Task(TASKS, {"counts": [_counts_file(task) for task in counts]}, 0)


def execute(task: Task, job: Job) -> Mapping[str, int]:
    """Do one of these tasks."""
    return _merge(task, job) if task.name == TASKS else _count(task, job)


def _counts_file(task: Task) -> str:
    return f"bm25/{task.name.removeprefix(f'{TASKS}-')}.parquet"


def _count(task: Task, job: Job) -> Mapping[str, int]:
    start, stop = task.args["start"], task.args["stop"]
    template, tokenizer = Template(job.config.data.passage_template), _tokenizer(job)
    pieces = []
    for low in range(start, stop, _TEXTS):
        rows = passages_of(job).slice(low, min(low + _TEXTS, stop), list(template.names))
        pieces.append((low, tokenizer.tokens(passage_texts(rows, template).to_pylist())))
        job.progress(rows.num_rows)
    counts = TermCounts.of(pieces)
    offsets = pa.array(counts.offsets, pa.int32())
    with job.publish(_counts_file(task)) as output, TableWriter(output.path, schemas.TERM_COUNTS) as writer:
        writer.write(
            {
                "term": counts.terms,
                "passages": pa.ListArray.from_arrays(offsets, pa.array(counts.passage)),
                "counts": pa.ListArray.from_arrays(offsets, pa.array(counts.count)),
            }
        )
        output.rows = writer.rows
    return {}


def _merge(task: Task, job: Job) -> Mapping[str, int]:
    """Two passes over the counts, a file at a time: for the statistics of all, and to write the weights."""
    files, passages = [job.own(path) for path in task.args["counts"]], job.manifest("ingest").counts["passages"]
    names = [read_columns(path, ["term"])["term"].combine_chunks() for path in files]
    terms = pc.unique(pa.concat_arrays(names)) if names else pa.array([], pa.string())
    terms = terms.take(pc.sort_indices(terms))
    frequency, length = np.zeros(len(terms), np.int64), np.zeros(passages, np.int64)
    for path in files:
        counts, term = _read_counts(path, terms)
        frequency[term] += np.diff(counts.offsets)
        length += np.bincount(counts.passage, weights=counts.count, minlength=passages).astype(np.int64)
    formula, mean_length = _formula(job.config), float(length.mean()) or 1.0
    idf = formula.idf(frequency, passages)
    absent = formula.absent(frequency, passages, mean_length)
    offsets = np.concatenate([[0], np.cumsum(frequency)])
    with job.publish(_PASSAGES) as passage_file, job.publish(_WEIGHTS) as weight_file:
        passage = array_on_disk(passage_file, np.dtype(np.int32), int(offsets[-1]))
        weight = array_on_disk(weight_file, np.dtype(np.float32), int(offsets[-1]))
        free = offsets[:-1].copy()
        for path in files:
            counts, term = _read_counts(path, terms)
            each = np.diff(counts.offsets)
            of = np.repeat(term, each)
            to = expand(np.concatenate([[0], np.cumsum(each)]), np.arange(len(term)))
            to += np.repeat(free[term] - counts.offsets[:-1], each)
            free[term] += each
            passage[to] = counts.passage
            added = None if absent is None else absent[of]
            weight[to] = formula.weights(idf[of], added, counts.count, length[counts.passage], mean_length)
        for array in (passage, weight):
            if isinstance(array, np.memmap):
                array.flush()
    whole = {_OFFSETS: offsets} if absent is None else {_OFFSETS: offsets, _ABSENT: absent}
    for name, array in whole.items():
        with job.publish(name) as output:
            write_array(output, array)
    with job.publish(_TERMS) as output, TableWriter(output.path, schemas.TERMS) as writer:
        writer.write({"term": terms})
        output.rows = writer.rows
    return {"bm25_terms": len(terms)}


def _read_counts(path: Path, terms: pa.Array) -> tuple[TermCounts, np.ndarray]:
    """One file of counts, and the numbers of its terms among all."""
    table = read_columns(path, schemas.TERM_COUNTS.names).combine_chunks()
    passages, counts = table["passages"].combine_chunks(), table["counts"].combine_chunks()
    offsets = np.concatenate([[0], np.cumsum(to_numpy(pc.list_value_length(passages)), dtype=np.int64)])
    names = table["term"].combine_chunks()
    found = TermCounts(names, offsets, to_numpy(passages.flatten()), to_numpy(counts.flatten()))
    return found, to_numpy(pc.index_in(names, value_set=terms)).astype(np.int64)


def array_on_disk(output: Output, dtype: np.dtype, rows: int) -> np.ndarray:
    """An array that is written where it lies: pages go to disk when memory is short."""
    output.rows = rows
    if not rows:  # no file can be mapped that is empty
        write_array(output, np.empty(0, dtype))
        return np.empty(0, dtype)
    return np.lib.format.open_memmap(output.path, mode="w+", dtype=dtype, shape=(rows,))


def write_array(output: Output, array: np.ndarray) -> None:
    with output.path.open("wb") as file:
        np.save(file, array)
    output.rows = len(array)


def _tokenizer(run: Run) -> Tokenizer:
    words = run.config.index.bm25
    return run.resource("tokenizer", lambda: Tokenizer(words.tokenizer, words.stemmer, words.stopwords))


def _formula(config: Config) -> Bm25:
    words = config.index.bm25
    return Bm25(words.method, words.k1, words.b, 0.5 if words.delta is None else words.delta)


class LexicalSearch:
    """The finished index; its arrays stay on disk, and what a query needs of them is read."""

    def __init__(self, run: Run) -> None:
        def mapped(name: str) -> np.ndarray:
            return np.asarray(np.load(run.file("index", name), mmap_mode="r"))

        self._formula = _formula(run.config)
        self._tokenizer = _tokenizer(run)
        self._terms = read_columns(run.file("index", _TERMS), ["term"])["term"].combine_chunks()
        absent = mapped(_ABSENT) if any(part.path == _ABSENT for part in run.manifest("index").parts) else None
        passages = run.manifest("ingest").counts["passages"]
        self._postings = Postings(mapped(_OFFSETS), mapped(_PASSAGES), mapped(_WEIGHTS), passages, absent)

    def numbers(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The numbers of the terms of each text that any passage has, in its order."""
        tokens = self._tokenizer.tokens(texts)
        number = pc.fill_null(pc.index_in(tokens.terms.dictionary, value_set=self._terms), -1)
        codes = to_numpy(number).astype(np.int64)[tokens.terms.indices.to_numpy()]
        each = np.split(codes, np.cumsum(tokens.counts)[:-1])
        return [numbers[numbers >= 0] for numbers in each]

    def search(self, terms: Sequence[np.ndarray], depth: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> Matches:
        """What is found for queries of these ``numbers``, and the scores of ``pairs``: see ``Bm25.search``."""
        return self._formula.search(self._postings, terms, depth, pairs)
