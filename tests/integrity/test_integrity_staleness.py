"""Exactly the stages that a change concerns become stale, for every key of the config."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_run import STAGES, make_run

sys.path.insert(0, str(Path(__file__).parents[1] / "crash"))
from slow_negmine import pretend

from negmine.config import all_keys, get, load_config
from negmine.executors import LocalExecutor
from negmine.pipeline import StageStatus, run, status
from negmine.stages.embed import encoding
from negmine.stages.filter import stage as filter_stage
from negmine.stages.rerank import scoring as rerank_scoring
from negmine.stages.rerank import stage as rerank_stage
from negmine.store.manifest import differences

ALL = STAGES
FROM_EMBED, FROM_INDEX, FROM_MINE = STAGES[1:], STAGES[2:], STAGES[3:]
FROM_FILTER, EXPORT = STAGES[4:], STAGES[5:]
RERANK = ("rerank", *FROM_FILTER)
NONE: tuple[str, ...] = ()
RANDOM = "filter.sampling_strategy=random"
CHUNKED = ("data.long_documents=chunk", "data.chunk={max_chars: 60, overlap_chars: 20}")
GUARDED = ("data.eval_guard={files: ['{folder}/guard.jsonl']}",)
BOUNDS = ("checks={max_leak: 0.1, max_churn_against: {run: elsewhere, churn: 0.1}}",)
WORDS = ("mine.retrievers=[dense, bm25]",)
SOFTMAX, SIMANS = "filter.sampling_strategy=softmax", "filter.sampling_strategy=simans"


@dataclass(frozen=True)
class Case:
    """A changed key: what it is set to, which data and settings it is tried on, what becomes stale."""

    key: str
    value: str
    stale: tuple[str, ...]
    base: str = "model"
    given: tuple[str, ...] = ()


CASES = (
    Case("seed", "5", NONE),
    Case("seed", "5", FROM_FILTER, given=(RANDOM,)),
    Case("seed", "5", FROM_FILTER, given=("filter.sampling_strategy=spread",)),
    Case("seed", "5", FROM_FILTER, given=("filter.on_shortage=random",)),
    Case("seed", "5", FROM_FILTER, given=("filter.random_share=0.4",)),
    Case("seed", "5", NONE, given=("filter.max_reuse=2",)),
    Case("memory_limit", "1GB", NONE),
    Case("threads", "1", NONE),
    Case("data.format", "pairs", NONE),
    Case("data.format", "pairs", ALL, "triplets"),
    Case("data.path", "{folder}/copy/beir", NONE, "beir"),
    Case("data.pairs", "{folder}/copy/pairs.jsonl", NONE),
    Case("data.pairs", "{folder}/shards", ALL),
    Case("data.pairs", "{folder}/copy/shards", NONE, given=("data.pairs={folder}/shards",)),
    Case("data.pairs", "{folder}/shards/*-0*.jsonl", ALL, given=("data.pairs={folder}/shards",)),
    Case("data.dataset.name", "{folder}/copy/set", NONE, "dataset"),
    Case("data.dataset.config", "b", ALL, "dataset"),
    Case("data.split", "validation", ALL, "dataset"),
    Case("data.corpus", "{folder}/copy/corpus.jsonl", NONE),
    Case("data.queries", "{folder}/copy/beir/queries.jsonl", NONE, "qrels"),
    Case("data.qrels", "{folder}/copy/beir/qrels/train.tsv", NONE, "qrels"),
    Case("data.split", "dev", ALL, "beir"),
    Case("data.columns.query_id", "qid", ALL),
    Case("data.columns.anchor", "question", ALL),
    Case("data.columns.positive", "answer", ALL),
    Case("data.columns.positive_id", "answer_id", ALL),
    Case("data.columns.negative", "worse", ALL, "triplets"),
    Case("data.columns.negative_id", "worse_id", ALL, "triplets"),
    Case("data.columns.passage", "documents", ALL, "labeled"),
    Case("data.columns.label", "grade", ALL, "labeled"),
    Case("data.columns.doc_id", "id", ALL),
    Case("data.columns.text", "body", ALL),
    Case("data.columns.title", "heading", ALL),
    Case("data.metadata", "[text2]", ALL),
    Case("data.passage_template", "'{text}'", ALL),
    Case("data.long_documents", "chunk", ALL),
    Case("data.chunk.max_chars", "70", ALL, given=CHUNKED),
    Case("data.chunk.overlap_chars", "30", ALL, given=CHUNKED),
    Case("data.eval_guard.files", "['{folder}/copy/guard.jsonl']", NONE, given=GUARDED),
    Case("data.eval_guard.columns", "[other]", ALL, given=GUARDED),
    Case("data.eval_guard.action", "error", ALL, given=GUARDED),
    Case("data.min_grade", "2", ALL, "beir"),
    Case("data.negatives", "keep", ALL, "triplets"),
    Case("data.on_bad_row", "skip", ALL),
    Case("embed.model", "{folder}/copy/model", NONE),
    Case("embed.backend", "onnx", FROM_EMBED),
    Case("embed.revision", "v2", NONE, "hub"),
    Case("embed.device", "cpu", NONE),
    Case("embed.device", "[cpu, cpu]", NONE),
    Case("embed.dtype", "float16", FROM_EMBED),
    Case("embed.query_prompt", "'query: '", FROM_EMBED),
    Case("embed.query_prompt_name", "query", FROM_EMBED),
    Case("embed.document_prompt", "'passage: '", FROM_EMBED),
    Case("embed.document_prompt_name", "passage", FROM_EMBED),
    Case("embed.max_seq_length", "64", FROM_EMBED),
    Case("embed.truncate_dim", "8", FROM_EMBED),
    Case("embed.normalize", "false", FROM_EMBED),
    Case("embed.similarity", "dot", FROM_EMBED),
    Case("embed.batch_size", "8", FROM_EMBED),
    Case("embed.store_dtype", "float16", FROM_EMBED),
    Case("embed.part_rows", "7", FROM_EMBED),
    Case("embed.trust_remote_code", "true", FROM_EMBED),
    Case("embed.endpoint.url", "http://elsewhere.example/v1", NONE, "endpoint"),
    Case("embed.endpoint.model", "other", FROM_EMBED, "endpoint"),
    Case("embed.endpoint.revision", "v2", FROM_EMBED, "endpoint"),
    Case("embed.endpoint.api_key_env", "SOME_KEY", NONE, "endpoint"),
    Case("embed.endpoint.dimensions", "8", FROM_EMBED, "endpoint"),
    Case("embed.endpoint.encoding_format", "base64", NONE, "endpoint"),
    Case("embed.endpoint.batch_tokens", "100", NONE, "endpoint"),
    Case("embed.endpoint.batch_texts", "3", NONE, "endpoint"),
    Case("embed.endpoint.concurrency", "2", NONE, "endpoint"),
    Case("embed.endpoint.timeout", "5", NONE, "endpoint"),
    Case("embed.endpoint.retries", "0", NONE, "endpoint"),
    Case("embed.endpoint.price_per_million_tokens", "0.1", NONE, "endpoint"),
    Case("embed.query_prompt", "'query: '", FROM_EMBED, "endpoint"),
    Case("embed.vectors.corpus", "{folder}/copy/corpus.npy", NONE, "vectors"),
    Case("embed.vectors.queries", "{folder}/copy/queries.npy", NONE, "vectors"),
    Case("index.dense", "Flat", FROM_INDEX),
    Case("index.dense", "auto", FROM_INDEX),
    Case("index.search_params", "nprobe=2", FROM_MINE, given=("index.dense='IVF2,Flat'",)),
    Case("index.device", "cpu", NONE),
    Case("index.recall_target", "0.5", NONE),
    Case("index.recall_target", "0.5", NONE, given=("index.dense=auto",)),
    Case("index.recall_target", "0.5", FROM_MINE, given=("index.dense='IVF2,Flat'",)),
    Case("seed", "5", NONE, given=("index.dense=auto",)),
    Case("seed", "5", FROM_INDEX, given=("index.dense='IVF2,Flat'",)),
    Case("index.bm25.method", "atire", FROM_INDEX, given=WORDS),
    Case("index.bm25.k1", "0.9", FROM_INDEX, given=WORDS),
    Case("index.bm25.b", "0.4", FROM_INDEX, given=WORDS),
    Case("index.bm25.delta", "0.9", FROM_INDEX, given=(*WORDS, "index.bm25.method=bm25l")),
    Case("index.bm25.tokenizer", "char-3", FROM_INDEX, given=WORDS),
    Case("index.bm25.stemmer", "english", FROM_INDEX, given=WORDS),
    Case("index.bm25.stopwords", "[passage]", FROM_INDEX, given=WORDS),
    Case("mine.k", "9", FROM_MINE),
    Case("mine.fusion", "rrf", FROM_MINE, given=WORDS),
    Case("mine.quotas", "{bm25: 3}", FROM_MINE, given=WORDS),
    Case("mine.retrievers", "[dense, bm25]", FROM_INDEX),
    Case("mine.retrievers", "[dense, {run: '{folder}/corpus.jsonl', name: a}]", FROM_MINE),
    Case("mine.part_queries", "3", FROM_MINE),
    Case("rerank.model", "{folder}/copy/reranker", NONE, "rerank"),
    Case("rerank.backend", "onnx", RERANK, "rerank"),
    Case("rerank.revision", "v2", NONE, "rerank", given=("rerank.model=some/reranker",)),
    Case("rerank.device", "cpu", NONE, "rerank"),
    Case("rerank.dtype", "bfloat16", RERANK, "rerank"),
    Case("rerank.max_length", "64", RERANK, "rerank"),
    Case("rerank.batch_size", "3", RERANK, "rerank"),
    Case("rerank.query_prompt", "'query: '", RERANK, "rerank"),
    Case("rerank.activation", "identity", RERANK, "rerank", given=("filter.risk=null",)),
    Case("rerank.depth", "4", RERANK, "rerank"),
    Case("rerank.part_pairs", "50", RERANK, "rerank"),
    Case("rerank.trust_remote_code", "true", RERANK, "rerank"),
    Case("rerank.endpoint.url", "http://elsewhere.example", NONE, "asked"),
    Case("rerank.endpoint.model", "other", RERANK, "asked"),
    Case("rerank.endpoint.revision", "v2", RERANK, "asked"),
    Case("rerank.endpoint.api_key_env", "SOME_KEY", NONE, "asked"),
    Case("rerank.endpoint.batch_texts", "3", NONE, "asked"),
    Case("rerank.endpoint.concurrency", "2", NONE, "asked"),
    Case("rerank.endpoint.timeout", "5", NONE, "asked"),
    Case("rerank.endpoint.retries", "0", NONE, "asked"),
    Case("filter.score", "[rerank, dense]", FROM_FILTER, "rerank", given=("filter.relative_margin=0.05",)),
    Case("filter.score", "dense", FROM_FILTER),
    Case("pairs.max_rank", "9", FROM_FILTER),
    Case("pairs.action", "drop", FROM_FILTER),
    Case("filter.reference", "max", FROM_FILTER),
    Case("filter.risk", "null", FROM_FILTER),
    Case("filter.risk.as_hard_as", "0.1", FROM_FILTER, given=("filter.risk={as_hard_as: 0.2}",)),
    Case("filter.risk.as_hard_as", "0.1", FROM_FILTER),
    Case("filter.risk.max", "0.1", FROM_FILTER, given=("filter.risk={max: 0.2}",)),
    Case("filter.risk.target_fnr", "0.1", FROM_FILTER, given=("filter.risk={target_fnr: 0.2}",)),
    Case("filter.risk.weights", "shipped", FROM_FILTER, given=("filter.risk={max: 0.2}",)),
    Case("filter.absolute_margin", "0.1", FROM_FILTER),
    Case("filter.relative_margin", "0.2", FROM_FILTER),
    Case("filter.leak_rate", "0.5", FROM_FILTER),
    Case("filter.positive_similarity", "0.4", FROM_FILTER),
    Case("filter.relative_positive_similarity", "1.5", FROM_FILTER),
    Case("filter.near_duplicates", "null", FROM_FILTER),
    Case("filter.near_duplicates.jaccard", "0.9", FROM_FILTER),
    Case("filter.near_duplicates.cosine", "0.9", FROM_FILTER),
    Case("filter.exclude_same", "[_id]", FROM_FILTER, given=("data.metadata=[_id]",)),
    Case("filter.agreement", "all", FROM_FILTER, given=("filter.relative_margin=0.05",)),
    Case("filter.max_score", "0.9", FROM_FILTER),
    Case("filter.min_score", "-0.9", FROM_FILTER),
    Case("filter.range_min", "1", FROM_FILTER),
    Case("filter.range_max", "9", FROM_FILTER),
    Case("filter.max_rank", "9", FROM_FILTER),
    Case("filter.num_negatives", "2", FROM_FILTER),
    Case("filter.sampling_strategy", "random", FROM_FILTER),
    Case("filter.sampling_temperature", "0.5", FROM_FILTER, given=(SOFTMAX,)),
    Case("filter.sampling_offset", "0.5", FROM_FILTER, given=(SIMANS,)),
    Case("filter.max_reuse", "2", FROM_FILTER),
    Case("filter.random_share", "0.4", FROM_FILTER),
    Case("filter.on_shortage", "drop", FROM_FILTER),
    Case("engine.kind", "ray", NONE),
    Case("engine.address", "local", NONE, given=("engine.kind=ray",)),
    Case("engine.workers", "3", NONE, given=("engine.kind=ray",)),
    Case("engine.cpus_per_worker", "2", NONE, given=("engine.kind=ray",)),
    Case("engine.gpus_per_worker", "1", NONE, given=("engine.kind=ray",)),
    Case("engine.retries", "0", NONE, given=("engine.kind=ray",)),
    Case("engine.scratch", "{folder}/scratch", NONE, given=("work_dir=memory://shelf/scratch",)),
    Case("export", "[{format: triplet, file: other.jsonl}]", EXPORT),
    Case("split", "{dev: 0.3}", EXPORT),
    Case("split.dev", "0.4", EXPORT, given=("split={dev: 0.3}",)),
    Case("seed", "5", EXPORT, given=("split={dev: 0.3}",)),
    Case("publish", "memory://elsewhere", NONE),
    Case("checks.min_yield", "0.5", NONE, given=BOUNDS),
    Case("checks.min_queries", "2", NONE, given=BOUNDS),
    Case("checks.max_starved", "0.5", NONE, given=BOUNDS),
    Case("checks.max_leak", "0.5", NONE, given=BOUNDS),
    Case("checks.max_estimated_fnr", "0.5", NONE, given=BOUNDS),
    Case("checks.max_hub_share", "0.5", NONE, given=BOUNDS),
    Case("checks.max_churn_against", "{run: elsewhere, churn: 0.5}", NONE),
    Case("checks.max_churn_against.run", "other", NONE, given=BOUNDS),
    Case("checks.max_churn_against.churn", "0.5", NONE, given=BOUNDS),
    Case("checks.estimates", "point", NONE, given=BOUNDS),
    Case("checks.unmeasured", "skip", NONE, given=BOUNDS),
    Case("evaluate.student", "static", NONE),
    Case("evaluate.model", "other/model", NONE, given=("evaluate.student=static",)),
    Case("evaluate.arms", "[in_batch, run]", NONE),
    Case("evaluate.judged", "{folder}/qrels.tsv", NONE),
    Case("evaluate.seeds", "2", NONE),
    Case("evaluate.steps", "50", NONE),
    Case("evaluate.batch_size", "8", NONE),
    Case("evaluate.learning_rates", "[0.01]", NONE),
    Case("evaluate.temperature", "0.1", NONE),
    Case("evaluate.shared_negatives", "true", NONE),
    Case("evaluate.checkpoints", "3", NONE),
    Case("evaluate.dev", "0.2", NONE),
    Case("evaluate.test", "0.2", NONE),
    Case("train.arguments", "{bf16: true}", NONE),
)
SECTIONS = {"filter.risk", "filter.near_duplicates", "split", "checks.max_churn_against"}
UNTRIED = {
    "rerank.endpoint.style": "a server of the other style wants a name of the model, or none, so two keys change",
    "data.dataset.revision": "applies to the hub alone; the files that it leads to count by their bytes",
    "work_dir": "another folder is another run; that a run can be moved is tested with the folder",
}


class PretendedScorer:
    """Scores between 0 and 1 by the lengths of the texts."""

    def score(self, queries: Any, passages: Any, of_query: Any, of_passage: Any, progress: Any) -> np.ndarray:
        lengths = [len(queries[q]) + 7 * len(passages[p]) for q, p in zip(of_query, of_passage, strict=True)]
        return np.array(lengths) % 97 / 97


@pytest.fixture(scope="module")
def patched() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        pretend(patch.setattr)
        patch.setattr(rerank_stage, "load_scorer", lambda config: PretendedScorer())
        patch.setattr(rerank_stage, "check_scorer", lambda config: None)
        yield patch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, patched: pytest.MonkeyPatch) -> Path:
    """Data in every layout twice, the second time in ``copy``; a config per layout."""
    top = tmp_path_factory.mktemp("stale")
    sizes = {"passages": 40, "queries": 8, "part_rows": 10, "part_queries": 4}
    for place in (top, top / "copy"):
        text = make_run(place, **sizes).read_text()
        (place / "model").mkdir()
        (place / "model" / "config.json").write_text('{"layers": 2}')
        (place / "model" / "weights.bin").write_bytes(b"0123456789")
        (place / "reranker").mkdir()
        (place / "reranker" / "config.json").write_text('{"layers": 1}')
        _write_beir(place / "beir")
        _write_sets(place)
        _write_layouts(place)
    vectors, data = "vectors: {corpus: corpus.npy, queries: queries.npy}", "{pairs: pairs.jsonl, corpus: corpus.jsonl}"
    files = "{queries: beir/queries.jsonl, corpus: beir/corpus.jsonl, qrels: beir/qrels/train.tsv}"
    with_model = text.replace(vectors, "model: ./model")
    for name, config in {
        "vectors": text,
        "model": with_model,
        "hub": text.replace(vectors, "model: some/model"),
        "endpoint": text.replace(vectors, "endpoint: {url: 'http://localhost:1', model: m}"),
        "rerank": f"{text}rerank: {{model: ./reranker}}\n",
        "asked": f"{text}rerank: {{endpoint: {{url: 'http://localhost:1', style: cohere, model: m}}}}\n",
        "dataset": with_model.replace("pairs: pairs.jsonl", "dataset: {name: ./set, config: a}"),
        "triplets": with_model.replace("pairs: pairs.jsonl", "format: triplets, pairs: triplets.jsonl"),
        "labeled": with_model.replace("pairs: pairs.jsonl", "format: labeled, pairs: labeled.jsonl"),
        "beir": with_model.replace(data, "{path: beir}"),
        "qrels": with_model.replace(data, files),
    }.items():
        (top / f"{name}.yaml").write_text(config.replace("work_dir: work", f"work_dir: {name}"))
    real = encoding.resolve_model
    patched.setattr(
        encoding,
        "resolve_model",
        lambda model, *rest, **named: top / "model" if model == "some/model" else real(model, *rest, **named),
    )
    patched.setattr(
        rerank_scoring,
        "resolve_model",
        lambda model, *rest, **named: top / "reranker" if model == "some/reranker" else real(model, *rest, **named),
    )
    return top


def _write_beir(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    passages = "".join(f'{{"_id": "d{n}", "title": "", "text": "passage {n}"}}\n' for n in range(40))
    (folder / "corpus.jsonl").write_text(passages)
    (folder / "queries.jsonl").write_text("".join(f'{{"_id": "q{n}", "text": "query {n}"}}\n' for n in range(8)))
    for split, shift in (("train", 0), ("dev", 1)):
        rows = "".join(f"q{n}\td{n + shift}\t1\n" for n in range(8))
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)


def _write_layouts(folder: Path) -> None:
    """The pairs with a negative, and with labels; texts of an evaluation set."""
    pairs = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    for name, rows in {
        "triplets": [{**pair, "negative": "passage 39", "worse": "passage 38"} for pair in pairs],
        "guard": [{"query": "a question of the test set", "other": "another"}],
        "labeled": [
            {"anchor": pair["anchor"], "text": text, "label": 1, "grade": 2}
            for pair in pairs
            for text in ([pair["positive"]] if isinstance(pair["positive"], str) else pair["positive"])
        ],
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_sets(folder: Path) -> None:
    """The pairs in two shards, and a dataset with configurations a and b, of which a has two splits."""
    lines = (folder / "pairs.jsonl").read_text().splitlines(keepends=True)
    for path, rows in {
        "shards/part-01.jsonl": lines[:3],
        "shards/part-10.jsonl": lines[3:],
        "set/a/train.jsonl": lines,
        "set/a/validation.jsonl": lines[:-1],
        "set/b/train.jsonl": lines[1:],
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("".join(rows))
    (folder / "set" / "README.md").write_text(
        "---\nconfigs:\n- {config_name: a, data_dir: a}\n- {config_name: b, data_dir: b}\n---\n"
    )


def finished(folder: Path, base: str, *given: str) -> tuple[str, ...]:
    """Overrides of a run of this layout and these settings that is done."""
    number = abs(hash(given)) if given else 0
    given = _placed(folder, *given)
    overrides = (f"work_dir={folder / 'runs' / f'{base}-{number}'}", *given)
    run(load_config(folder / f"{base}.yaml", overrides), executor=LocalExecutor())
    return overrides


def _placed(folder: Path, *overrides: str) -> tuple[str, ...]:
    return tuple(override.replace("{folder}", str(folder)) for override in overrides)


def stale(stages: list[StageStatus]) -> tuple[str, ...]:
    return tuple(stage.stage for stage in stages if stage.state != "current")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.key}={case.value}")
def test_a_changed_key_makes_the_stages_stale_that_use_it(folder: Path, case: Case) -> None:
    """These stages and no other; `status` names the key (or the file it leads to)."""
    overrides = finished(folder, case.base, *case.given)
    (change,) = _placed(folder, f"{case.key}={case.value}")
    stages = status(load_config(folder / f"{case.base}.yaml", (*overrides, change)))
    assert stale(stages) == case.stale
    if case.stale:
        why = next(stage.why for stage in stages if stage.state != "current")
        assert case.key in why or case.key in ("data.split", "data.dataset.config"), why


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.key}={case.value}")
def test_every_case_changes_its_key(folder: Path, case: Case) -> None:
    """A case whose value is the default would prove nothing."""
    file, given = folder / f"{case.base}.yaml", _placed(folder, *case.given)
    (change,) = _placed(folder, f"{case.key}={case.value}")
    assert get(load_config(file, given), case.key) != get(load_config(file, (*given, change)), case.key)


def test_every_key_has_a_case() -> None:
    """A new key of the config needs a line in the table."""
    assert {case.key for case in CASES} - SECTIONS | set(UNTRIED) == set(all_keys())


@pytest.mark.parametrize(
    ("base", "file", "first"),
    [
        ("vectors", "pairs.jsonl", "ingest"),
        ("vectors", "corpus.jsonl", "ingest"),
        ("beir", "beir/queries.jsonl", "ingest"),
        ("beir", "beir/qrels/train.tsv", "ingest"),
        ("vectors", "corpus.npy", "embed"),
        ("vectors", "queries.npy", "embed"),
        ("model", "model/weights.bin", "embed"),
        ("model", "model/config.json", "embed"),
    ],
)
def test_changed_bytes_of_an_input_make_its_reader_stale(folder: Path, base: str, file: str, first: str) -> None:
    """Data, vectors and a model's weights count by their bytes; `status` says what changed."""
    overrides = finished(folder, base)
    path = folder / file
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    try:
        stages = status(load_config(folder / f"{base}.yaml", overrides))
    finally:
        path.write_bytes(content)
    assert stale(stages) == STAGES[STAGES.index(first) :]
    assert "changed" in next(found.why for found in stages if found.stage == first)


def test_a_file_beside_the_weights_changes_nothing(folder: Path) -> None:
    """A model's README does not decide its vectors."""
    overrides = finished(folder, "model")
    (folder / "model" / "README.md").write_text("new")
    assert stale(status(load_config(folder / "model.yaml", overrides))) == NONE


@pytest.mark.parametrize("similarity", ["euclidean", "manhattan"])
def test_another_similarity_of_the_same_vectors_is_mined_anew(folder: Path, similarity: str) -> None:
    """The vectors have the same bytes, but not the same neighbours."""
    overrides = finished(folder, "vectors", "embed.normalize=false")
    config = load_config(folder / "vectors.yaml", (*overrides, f"embed.similarity={similarity}"))
    ran = {result.stage: result.tasks_run for result in run(config).stages}
    assert ran["mine"]


@pytest.mark.parametrize(("risk", "expected"), [("{max: 0.3}", FROM_FILTER), ("null", NONE)])
def test_another_shipped_risk_model_makes_filter_stale_where_it_is_used(
    folder: Path, risk: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade that brings other weights must not leave the old verdicts in place."""
    overrides = finished(folder, "vectors", f"filter.risk={risk}")
    monkeypatch.setattr(filter_stage, "shipped_digest", lambda: "0" * 64)
    stages = status(load_config(folder / "vectors.yaml", overrides))
    assert stale(stages) == expected
    if expected:
        assert "shipped risk model changed" in next(found.why for found in stages if found.stage == "filter")


def test_a_new_query_leaves_the_index_current(folder: Path) -> None:
    """Embed runs again, but with the same passage vectors the index stays."""
    overrides = finished(folder, "model")
    pairs = folder / "pairs.jsonl"
    content = pairs.read_text()
    first = json.loads(content.splitlines()[0])
    pairs.write_text(content + json.dumps({"anchor": "one more query", "positive": first["positive"]}) + "\n")
    try:
        result = run(load_config(folder / "model.yaml", overrides))
    finally:
        pairs.write_text(content)
    assert [stage.stage for stage in result.stages if stage.state == "current"] == ["index"]


def test_a_key_that_another_version_does_not_know_is_a_reason() -> None:
    """A stage that is made again always says why."""
    old, new = {"config": {"a": 1}}, {"config": {"a": 1, "b": None}}
    assert differences(old, new) == ["b is new in this version"]
    assert differences(new, old) == ["b is gone in this version"]
    assert differences(new, new) == []


def test_another_layout_of_files_is_the_one_reason() -> None:
    """Keys that came with the new version say no more."""
    old, new = {"schema": {"version": 1}, "config": {}}, {"schema": {"version": 2}, "config": {"b": 1}}
    assert differences(old, new) == ["a version of negmine made it whose files are laid out otherwise"]
