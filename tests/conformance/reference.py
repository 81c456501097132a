"""One mining problem for two miners: Sentence Transformers' ``mine_hard_negatives`` and negmine.

``their_rows`` calls the reference with a model that looks vectors up. ``our_rows`` makes the same
rows with negmine's own functions and without files, which takes a millisecond;
``pipeline_rows`` makes them with a real run.

Parameters are named as in the reference. ``our_sections`` says them in negmine's config:

- The reference looks at ``range_max`` + ``max_positives`` raw ranks of every query, positives
  included, where ``max_positives`` is the most rows that share an anchor. That is
  ``filter.max_rank``, with ``mine.k`` just as deep so that no such rank is missing. A corpus
  with fewer passages is looked at whole: ``mine.k`` is then left out, as it would be refused.
- ``range_max`` left out is ``range_min`` + ``max_positives`` + ``num_negatives``, the last ten
  times where a margin or ``max_score`` is set.
- It knows no risk and no near duplicates: ``filter.risk`` and ``filter.near_duplicates`` are null.
- All other parameters have the same name and meaning under ``filter`` and ``export``.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset
from sentence_transformers.util import SimilarityFunction, mine_hard_negatives

import negmine
from negmine.arrays import find_pairs, positions, spans
from negmine.config import Config, config_from_dict
from negmine.retrieval.exact import search_exact
from negmine.retrieval.similarity import score_pairs
from negmine.selection.candidates import Candidates
from negmine.selection.depth import within_depth
from negmine.selection.identity import Digests, digest_array, excluded_passages
from negmine.selection.verdicts import KEPT, reference_scores, verdicts
from negmine.stages.filter import rules_of
from negmine.text import id_hash, text_digest, text_key
from negmine.writers import FORMATS, Cells, Groups, Options

Columns = dict[str, list[Any]]
Vectors = Mapping[str, np.ndarray]

NO_RULES = {"risk": None, "near_duplicates": None}
"""What the reference does not have and negmine does unless told otherwise."""

# The reference puts negatives into the column of the positives, whatever that is called.
OUR_NAME = {"labeled-pair": {"positive": "text"}, "labeled-list": {"positive": "documents"}}


@dataclass(frozen=True)
class Problem:
    """Labelled pairs, a corpus (None: the positives are the corpus) and a vector for every text."""

    anchors: Sequence[str]
    positives: Sequence[str]
    corpus: Sequence[str] | None
    query_vectors: Vectors
    passage_vectors: Vectors
    similarity: str = "cosine"

    @property
    def queries(self) -> list[str]:
        """Distinct, by first appearance."""
        return list(dict.fromkeys(self.anchors))

    @property
    def documents(self) -> list[str]:
        """The corpus as given, then the positives that are not in it; without corpus all positives."""
        if self.corpus is None:
            return list(self.positives)
        return [*self.corpus, *(text for text in dict.fromkeys(self.positives) if text not in set(self.corpus))]

    @property
    def passages(self) -> list[str]:
        """Distinct documents, by first appearance."""
        return list(dict.fromkeys(self.documents))

    @property
    def doc_ids(self) -> list[str]:
        """Ids of ``passages``: that of the corpus file, or what negmine derives from a text."""
        rows = {} if self.corpus is None else {text: row for row, text in reversed(list(enumerate(self.corpus)))}
        return [f"d{rows[text]}" if text in rows else derived_id(text) for text in self.passages]

    @property
    def labels(self) -> list[tuple[int, int]]:
        """Distinct (query, passage) by number, ordered by query."""
        rows = zip(self.anchors, self.positives, strict=True)
        pairs = [(self.queries.index(anchor), self.passages.index(positive)) for anchor, positive in rows]
        return sorted(dict.fromkeys(pairs), key=lambda pair: pair[0])

    @property
    def max_positives(self) -> int:
        """The most rows that share an anchor, as the reference counts them."""
        return max(Counter(self.anchors).values())

    def scores(self) -> np.ndarray:
        """Scores (q, n) of all queries with all passages, in float64."""
        queries, passages = _matrix(self.query_vectors, self.queries), _matrix(self.passage_vectors, self.passages)
        pairs = np.indices((len(queries), len(passages))).reshape(2, -1)
        scores = score_pairs(queries, lambda: [(0, passages)], *pairs, self.similarity)
        return scores.reshape(len(queries), len(passages))


@dataclass(frozen=True)
class Parameters:
    """Arguments of ``mine_hard_negatives``, with its defaults."""

    range_min: int = 0
    range_max: int | None = None
    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    num_negatives: int = 3
    sampling_strategy: str = "top"
    output_format: str = "triplet"
    output_scores: bool = False


def derived_id(text: str) -> str:
    """The id of a text that comes without one."""
    return text_key(text_digest(text))[:16]


class LookupModel:
    """As much of a SentenceTransformer as the reference uses.

    Vectors are returned as they are given, unless it ``obeys`` the call to normalise them.
    """

    device = torch.device("cpu")

    def __init__(self, problem: Problem, *, name: str | None = None, obeys: bool = False) -> None:
        self.model_card_data = SimpleNamespace(base_model=name)
        self.similarity = SimilarityFunction.to_similarity_fn(problem.similarity)
        self.similarity_pairwise = SimilarityFunction.to_similarity_pairwise_fn(problem.similarity)
        self._problem, self._obeys = problem, obeys

    def encode_query(self, texts: Sequence[str], *, normalize_embeddings: bool, **_: Any) -> np.ndarray:
        return self._encode(self._problem.query_vectors, texts, normalize_embeddings)

    def encode_document(self, texts: Sequence[str], *, normalize_embeddings: bool, **_: Any) -> np.ndarray:
        return self._encode(self._problem.passage_vectors, texts, normalize_embeddings)

    def get_embedding_dimension(self) -> int:
        return len(next(iter(self._problem.query_vectors.values())))

    def _encode(self, vectors: Vectors, texts: Sequence[str], normalize: bool) -> np.ndarray:
        found = _matrix(vectors, texts)
        if normalize and self._obeys:
            found = found / np.linalg.norm(found, axis=1, keepdims=True)
        return found


def their_rows(problem: Problem, parameters: Parameters, model: LookupModel | None = None, **more: Any) -> Columns:
    """The reference's columns, under negmine's names. ``more`` are arguments beyond ``Parameters``."""
    dataset = Dataset.from_dict({"anchor": list(problem.anchors), "positive": list(problem.positives)})
    with contextlib.redirect_stderr(io.StringIO()):  # it has progress bars that cannot be switched off
        mined = mine_hard_negatives(
            dataset,
            model or LookupModel(problem),
            corpus=None if problem.corpus is None else list(problem.corpus),
            **{"verbose": False, **vars(parameters), **more},
        )
    names = OUR_NAME.get(parameters.output_format, {})
    return {names.get(name, name): values for name, values in mined.to_dict().items()}


def range_max_of(problem: Problem, parameters: Parameters) -> int:
    """``range_max``, or what the reference takes when it is left out."""
    if parameters.range_max is not None:
        return parameters.range_max
    rules = (parameters.absolute_margin, parameters.relative_margin, parameters.max_score)
    spare = 1 if rules == (None, None, None) else 10
    return parameters.range_min + spare * parameters.num_negatives + problem.max_positives


def our_sections(problem: Problem, parameters: Parameters) -> dict[str, Any]:
    """The same in negmine's config: its sections ``mine`` and ``filter``."""
    range_max = range_max_of(problem, parameters)
    depth = range_max + problem.max_positives
    rules = {name: value for name, value in vars(parameters).items() if not name.startswith("output_")}
    whole = depth > len(problem.passages)
    return {
        "mine": {} if whole else {"k": depth},
        "filter": {**NO_RULES, **rules, "range_max": range_max, "max_rank": depth},
    }


def our_config(
    problem: Problem, sections: Mapping[str, Any], folder: Path = Path("nowhere"), vectors: str = "parquet"
) -> Config:
    """A config over ready-made vectors in files that ``folder`` need not have yet."""
    return config_from_dict(
        {
            "work_dir": "run",
            "threads": 1,
            "data": {"pairs": "pairs.jsonl", "corpus": None if problem.corpus is None else "corpus.jsonl"},
            "embed": {
                "vectors": {"corpus": f"corpus.{vectors}", "queries": f"queries.{vectors}"},
                "normalize": problem.similarity == "cosine",
                "similarity": problem.similarity,
            },
            **sections,
        },
        base_dir=folder,
    )


def our_rows(problem: Problem, parameters: Parameters, *, seed: int = 0) -> Columns:
    """The columns that negmine exports, made by its own functions in this process."""
    config = our_config(problem, {**our_sections(problem, parameters), "seed": seed})
    groups = _mined(problem, config)
    layout = FORMATS[parameters.output_format]
    wanted = parameters.num_negatives if layout.name == "n-tuple" else None
    options = Options(scores=parameters.output_scores, negatives=wanted)
    anchors, passages = (pa.array(texts, pa.large_string()) for texts in (problem.queries, problem.passages))
    (member,) = layout.members
    rows = member.rows(groups, options)
    cells = Cells(rows, groups, lambda texts: texts, lambda name: anchors, lambda numbers, name: passages.take(numbers))
    return member.table(rows, cells, options).to_pydict()


def _mined(problem: Problem, config: Config) -> Groups:
    """What the stages from ingest to filter do, without their files."""
    queries, passages = problem.queries, problem.passages
    label_query, label_doc = np.array(problem.labels).T
    query_digests, digests = (digest_array([text_digest(text) for text in texts]) for texts in (queries, passages))
    n = len(passages)
    of_query, of_passage, code = excluded_passages(
        label_query, label_doc, query_digests, np.arange(n), np.ones(n, bool), Digests(digests, digests)
    )

    query_vectors, vectors = _matrix(problem.query_vectors, queries), _matrix(problem.passage_vectors, passages)
    half = n // 2
    blocks = [(0, vectors[:half]), (half, vectors[half:])] if half else [(0, vectors)]
    k = min(config.mine.k, n)
    depth = k + np.bincount(of_query, minlength=len(queries))
    found = search_exact(query_vectors, lambda: blocks, depth, n, problem.similarity)
    own = find_pairs(found.query, found.passage, of_query, of_passage, n)
    keep = within_depth(found.query, own >= 0, k)
    query, passage, score, own = found.query[keep], found.passage[keep], found.score[keep], own[keep]

    label_score = score_pairs(query_vectors, lambda: blocks, label_query, label_doc, problem.similarity)
    reference = reference_scores(label_query, label_score, config.filter.reference, len(queries))
    query_key = np.array([id_hash(derived_id(text)) for text in queries], np.uint64)
    passage_key = np.array([id_hash(identifier) for identifier in problem.doc_ids], np.uint64)
    candidates = Candidates(
        query=query,
        passage=passage,
        rank=positions(query) + 1,
        score=score,
        positive_similarity=np.zeros(len(query)),
        excluded=np.where(own >= 0, code[own] + 1, 0),
        passage_key=passage_key[passage],
        reference=reference,
        positive_rank=np.full(len(queries), np.inf),
        query_key=query_key,
    )
    reason = verdicts(rules_of(config), candidates)
    kept = reason == KEPT
    return Groups(
        spans(label_query, len(queries)),
        label_doc,
        label_score,
        spans(query[kept], len(queries)),
        passage[kept],
        score[kept],
    )


def write_problem(problem: Problem, folder: Path, vectors: str = "parquet") -> None:
    """The problem as files: vectors as "parquet" with ids, or as "npy" in the order of the input."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(problem.anchors, problem.positives, strict=True)
    _write_lines(folder / "pairs.jsonl", [{"anchor": anchor, "positive": positive} for anchor, positive in pairs])
    if problem.corpus is not None:
        rows = [{"_id": f"d{row}", "text": text} for row, text in enumerate(problem.corpus)]
        _write_lines(folder / "corpus.jsonl", rows)
    if vectors == "parquet":
        query_ids = [derived_id(text) for text in problem.queries]
        _write_vectors(folder / "queries.parquet", "query_id", query_ids, problem.query_vectors, problem.queries)
        passages = problem.passages
        _write_vectors(folder / "corpus.parquet", "doc_id", problem.doc_ids, problem.passage_vectors, passages)
    else:
        np.save(folder / "queries.npy", _matrix(problem.query_vectors, problem.anchors))
        np.save(folder / "corpus.npy", _matrix(problem.passage_vectors, problem.documents))


def run_problem(problem: Problem, folder: Path, sections: Mapping[str, Any], vectors: str = "parquet") -> Config:
    """Write the problem's files, run negmine on them and return the config of the run."""
    write_problem(problem, folder, vectors)
    config = our_config(problem, sections, folder, vectors)
    negmine.run(config)
    return config


def exported(config: Config, number: int = 0) -> Columns:
    """The columns of an export of a finished run. A file of lines has no columns without rows."""
    path = Path(config.work_dir) / "export" / config.export[number].file
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else [])}


def pipeline_rows(problem: Problem, parameters: Parameters, folder: Path, *, seed: int = 0) -> Columns:
    """The columns that a run of negmine writes to a Parquet file."""
    export = {"format": parameters.output_format, "file": "train.parquet", "scores": parameters.output_scores}
    sections = {**our_sections(problem, parameters), "seed": seed, "export": [export]}
    return exported(run_problem(problem, folder, sections))


def assert_same(ours: Columns, theirs: Columns) -> None:
    """The same columns in the same order, the same rows in the same order, scores within 1e-6."""
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        if name in ("score", "scores"):
            assert [np.size(value) for value in ours[name]] == [np.size(value) for value in values]
            flat = [np.concatenate([np.ravel(v) for v in column] or [[]]) for column in (ours[name], values)]
            np.testing.assert_allclose(*flat, rtol=0, atol=1e-6)
        else:
            assert ours[name] == values, name


def unit_problem(
    seed: int,
    *,
    queries: int,
    rows_per_query: Sequence[int],
    others: int,
    corpus_given: bool = True,
    repeated: int = 0,
    dimension: int = 8,
    similarity: str = "cosine",
) -> Problem:
    """Random unit vectors, positives near their query; query q has ``rows_per_query[q % len]`` rows.

    ``others`` passages are nobody's positive; ``repeated`` corpus texts come twice.
    """
    rng = np.random.default_rng(seed)
    directions = _unit(rng.normal(size=(queries, dimension)))
    anchors, positives, near = [], [], {}
    for q in range(queries):
        for n in range(rows_per_query[q % len(rows_per_query)]):
            text = f"positive {n} of {q}"
            near[text] = _unit(directions[q] + rng.normal(size=dimension) * 0.3)
            anchors.append(f"query {q}")
            positives.append(text)
    near |= {f"passage {n}": _unit(rng.normal(size=dimension)) for n in range(others)}
    order = rng.permutation(len(anchors))
    corpus = list(near) if corpus_given else None
    if corpus is not None:
        corpus += [corpus[row] for row in rng.integers(len(corpus), size=repeated)]
        corpus = [corpus[row] for row in rng.permutation(len(corpus))]
    return Problem(
        anchors=[anchors[row] for row in order],
        positives=[positives[row] for row in order],
        corpus=corpus,
        query_vectors={f"query {q}": directions[q] for q in range(queries)},
        passage_vectors=near,
        similarity=similarity,
    )


def scored_problem(
    anchors: Sequence[str],
    positives: Sequence[str],
    corpus: Sequence[str] | None,
    scores: Mapping[str, Sequence[float]],
) -> Problem:
    """A problem whose scores are given: per passage one for each distinct anchor, in order.

    Queries are unit vectors along an axis of their own, so a dot product is exact in any precision.
    """
    queries = list(dict.fromkeys(anchors))
    axes = np.eye(len(queries), dtype=np.float32)
    return Problem(
        anchors,
        positives,
        corpus,
        dict(zip(queries, axes, strict=True)),
        {text: np.array(values, np.float32) for text, values in scores.items()},
        "dot",
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def _matrix(vectors: Vectors, texts: Sequence[str]) -> np.ndarray:
    return np.stack([vectors[text] for text in texts]).astype(np.float32)


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _write_vectors(path: Path, id_column: str, ids: Sequence[str], vectors: Vectors, texts: Sequence[str]) -> None:
    pq.write_table(pa.table({id_column: ids, "vector": list(_matrix(vectors, texts))}), path)
