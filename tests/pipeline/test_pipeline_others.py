"""A run with further encoders, dense and sparse, beside the main one."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import negmine
from negmine.config import Config
from negmine.encoders.loading import Settings
from negmine.encoders.sparse import SparseTransformerEncoder
from negmine.errors import ConfigError, InputError, NegmineError
from negmine.explain import explain

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
sys.path.insert(0, str(Path(__file__).parents[1] / "integrity"))
import tiny_models
from stopping import Stopping

K, PASSAGES, QUERIES = 5, 40, 7
DRAW = random.Random(6)
WORDS = [f"word{number}" for number in range(12)]
TEXTS = [f"{' '.join(DRAW.choices(WORDS, k=DRAW.randint(1, 5)))} only{number}" for number in range(PASSAGES)]
ASKED = [f"{' '.join(DRAW.choices(WORDS, k=2))} asked{number}" for number in range(QUERIES)]
RNG = np.random.default_rng(8)
MAIN = RNG.integers(-2, 3, (PASSAGES, 5)).astype(np.float32) + np.float32(0.5)
MAIN_QUERIES = RNG.integers(-2, 3, (QUERIES, 5)).astype(np.float32) + np.float32(0.5)
OTHER = RNG.integers(-2, 3, (PASSAGES, 3)).astype(np.float32)
OTHER_QUERIES = RNG.integers(-2, 3, (QUERIES, 3)).astype(np.float32)
POSITIVES = [sorted({(7 * q) % PASSAGES, (11 * q + 8) % PASSAGES}) for q in range(QUERIES)]
Make = Callable[..., Config]


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_splade(tmp_path_factory.mktemp("models") / "splade")


@pytest.fixture(scope="module")
def scores(splade: Path) -> dict[str, np.ndarray]:
    """What each scorer gives to every query and passage, by other means than a run."""
    words = bm25s.BM25(k1=1.2, b=0.75)
    words.index([text.split() for text in TEXTS], show_progress=False)
    encoder = SparseTransformerEncoder(splade, Settings(device="cpu"))

    def weights(texts: list[str], kind: str) -> np.ndarray:
        found = getattr(encoder, f"encode_{kind}")(texts)
        dense = np.zeros((len(texts), 100))
        for row in range(len(texts)):
            own = slice(found.offsets[row], found.offsets[row + 1])
            dense[row, found.terms[own]] = found.weights[own]
        return dense

    queries, passages = weights(ASKED, "queries"), weights(TEXTS, "passages")
    products = np.zeros((QUERIES, PASSAGES))
    for term in range(100):  # a sum in the order of the terms
        products += queries[:, term : term + 1] * passages[:, term]
    return {
        "dense": MAIN_QUERIES.astype(np.float64) @ MAIN.T.astype(np.float64),
        "other": -np.sqrt(((OTHER_QUERIES[:, None] - OTHER[None]).astype(np.float64) ** 2).sum(axis=2)),
        "bm25": np.array([words.get_scores_from_ids(words.get_tokens_ids(text.split())) for text in ASKED], np.float64),
        "splade": products,
    }


@pytest.fixture
def make(tmp_path: Path, splade: Path) -> Make:
    pairs = [
        {"query_id": f"q{q}", "anchor": ASKED[q], "positive_id": f"d{p}"} for q in range(QUERIES) for p in POSITIVES[q]
    ]
    asked = [int(row["query_id"][1:]) for row in pairs]
    np.save(tmp_path / "c.npy", MAIN)
    np.save(tmp_path / "q.npy", MAIN_QUERIES[asked])
    save_file({"corpus": OTHER, "queries": OTHER_QUERIES[asked]}, tmp_path / "other.safetensors")
    documents = [{"_id": f"d{p}", "text": TEXTS[p]} for p in range(PASSAGES)]
    for name, rows in (("corpus", documents), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    both = {"corpus": "other.safetensors", "queries": "other.safetensors"}
    others = {
        "other": {"name": "other", "vectors": both, "normalize": False, "similarity": "euclidean"},
        "splade": {"name": "splade", "kind": "sparse", "model": str(splade), "device": "cpu", "part_rows": 9},
    }

    def config(name: str = "work", **sections: Any) -> Config:
        mine = {"k": K, "retrievers": list(NAMES), **sections.pop("mine", {})}
        embed = {"vectors": {"corpus": "c.npy", "queries": "q.npy"}, "similarity": "dot", "normalize": False}
        embed["others"] = [others[name] for name in others if name in mine["retrievers"]]
        whole = {"work_dir": name, "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"}, "embed": embed}
        return negmine.config_from_dict({**whole, "mine": mine, **sections}, tmp_path)

    return config


NAMES = ("dense", "other", "bm25", "splade")
FINDS_ALL = ("dense", "other")


def ranked(name: str, of: np.ndarray, q: int, depth: int) -> dict[int, int]:
    """Passages and ranks down to the ``depth``-th that is no positive; words and weights find what is above 0."""
    order = [p for p in sorted(range(PASSAGES), key=lambda p: (-of[q, p], p)) if name in FINDS_ALL or of[q, p] > 0]
    others = [n for n, p in enumerate(order) if p not in POSITIVES[q]]
    last = others[depth - 1] + 1 if len(others) >= depth > 0 else len(order) if depth else 0
    return {p: n + 1 for n, p in enumerate(order[:last])}


def expected(
    scores: dict[str, np.ndarray], names: tuple[str, ...] = NAMES, fusion: str = "none", **quotas: int
) -> list[tuple[int, int, dict[str, int]]]:
    """Query, passage and who found it at which rank, in order."""
    rows = []
    for q in range(QUERIES):
        lists = {name: ranked(name, scores[name], q, quotas.get(name, K)) for name in names}
        found = {p: {n: lists[n][p] for n in names if p in lists[n]} for name in names for p in lists[name]}
        fused = {p: sum(sorted((1 / (60 + rank) for rank in by.values()), reverse=True)) for p, by in found.items()}
        key = fused if fusion == "rrf" else dict(enumerate(scores["dense"][q].tolist()))
        left = K if fusion == "rrf" else PASSAGES
        for p in sorted(found, key=lambda p: (-key[p], p)):
            if left:
                rows.append((q, p, found[p]))
                left -= p not in POSITIVES[q]
    return rows


def parts(config: Config, stage: str = "mine") -> list[dict[str, Any]]:
    files = sorted((Path(config.work_dir) / stage).glob("part-*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def mined(config: Config) -> list[dict[str, Any]]:
    negmine.run(config, until="mine")
    return parts(config)


WAYS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "all": (NAMES, {}),
    "two vectors": (("dense", "other"), {}),
    "in another order": (("splade", "bm25", "other", "dense"), {}),
    "without dense": (("splade", "other"), {}),
    "a sparse one alone": (("splade",), {}),
    "fused": (NAMES, {"fusion": "rrf"}),
    "with quotas": (NAMES, {"quotas": {"other": 2, "splade": 3}}),
    "scores only": (NAMES, {"quotas": {"other": 0, "splade": 0, "bm25": 0}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_candidates_are_those_of_brute_force(make: Make, way: str, scores: dict[str, np.ndarray]) -> None:
    """Every retriever finds its best, every candidate has the score of each, whoever found it."""
    names, mine = WAYS[way]
    rows = mined(make(mine={"retrievers": list(names), **mine}))
    found = [(row["query"], row["passage"], dict(zip(row["retrievers"], row["ranks"], strict=True))) for row in rows]
    assert found == expected(scores, names, mine.get("fusion", "none"), **mine.get("quotas", {}))
    for name in names:
        column = "score" if name == "dense" else f"{name}_score"
        assert [row[column] for row in rows] == [scores[name][row["query"], row["passage"]] for row in rows]
    assert [row["score"] for row in rows] == [scores["dense"][row["query"], row["passage"]] for row in rows]


def test_positives_have_the_rank_and_score_of_every_retriever(make: Make, scores: dict[str, np.ndarray]) -> None:
    config = make()
    mined(config)
    rows = pq.read_table(Path(config.work_dir) / "mine" / "positives.parquet").to_pylist()
    assert len(rows) == sum(map(len, POSITIVES))
    for row in rows:
        q, p = row["query"], row["passage"]
        assert row["retrievers"] == list(NAMES)
        assert row["scores"] == [scores[name][q, p] for name in NAMES]
        for name, rank in zip(NAMES, row["ranks"], strict=True):
            place = ranked(name, scores[name], q, PASSAGES).get(p)
            assert rank == (place if place is not None and place <= K + len(POSITIVES[q]) else None)


@pytest.mark.parametrize("how", [{"mine": {"part_queries": 2}}, {"memory_limit": "64MB"}, {"threads": 1}], ids=str)
def test_the_cut_of_the_work_changes_nothing(make: Make, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mined(make("whole"))
    if "memory_limit" in how:
        monkeypatch.setattr("negmine.stages.mine.part.CANDIDATE_BYTES", 10**8)
    assert mined(make("cut", **how)) == whole


def files(config: Config) -> dict[str, bytes]:
    root = Path(config.work_dir)
    found = [path for stage in ("embed", "index", "mine") for path in (root / stage).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in found if path.name != "manifest.json"}


def test_an_interrupted_run_ends_with_the_same_bytes(make: Make) -> None:
    """After every task of the stages that know of further encoders."""
    whole, cut = make("whole"), make("cut")
    mined(whole)
    negmine.run(cut, until="ingest")
    tasks = 0
    for stage in ("embed", "index", "mine"):
        while True:
            try:
                negmine.run(cut, until=stage, executor=Stopping(stage, 1))
                break
            except KeyboardInterrupt:
                tasks += 1
    assert tasks >= 12
    assert files(cut) == files(whole)


def counts(config: Config) -> dict[str, Any]:
    return json.loads((Path(config.work_dir) / "embed" / "manifest.json").read_text())["counts"]


def test_only_new_texts_are_encoded(make: Make, tmp_path: Path, splade: Path) -> None:
    """A passage more is one text more for each encoder that is a model; the bytes are those of a new run."""
    dense = tiny_models.save_static(tmp_path / "static")
    asked = {"model": str(dense), "device": "cpu"}
    embed = {**asked, "others": [{"name": "two", **asked}, {"name": "splade", "kind": "sparse", "model": str(splade)}]}
    make()

    def config(name: str, **changed: Any) -> Config:
        mine = {"k": K, "retrievers": ["dense", "two", "splade"]}
        data = {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"}
        whole = {"work_dir": name, "data": data, "embed": {**embed, **changed}, "mine": mine}
        return negmine.config_from_dict(whole, tmp_path)

    mined(config("work"))
    texts = counts(config("work"))["vectors"]
    assert texts == 3 * (PASSAGES + QUERIES)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "new", "text": "a new passage"}) + "\n")
    mined(config("work"))
    assert counts(config("work"))["reused"] == texts
    mined(config("fresh"))
    assert files(config("work")) == files(config("fresh"))
    others = [{**embed["others"][0], "query_prompt": "query: "}, embed["others"][1]]
    assert next(s for s in negmine.status(config("work", others=others)) if s.stage == "embed").why == (
        "embed.others two changed"
    )
    mined(config("work", others=others))
    assert counts(config("work"))["reused"] == 2 * (PASSAGES + QUERIES + 1)


def kept(config: Config) -> dict[int, list[tuple[int, float]]]:
    """Passages that are kept and their scores, by query."""
    rows = [row for row in parts(config, "filter") if row["verdict"] == "kept"]
    rows.sort(key=lambda row: (row["query"], row["position"]))
    return {q: [(row["passage"], row["score"]) for row in rows if row["query"] == q] for q in range(QUERIES)}


RULES = {"risk": None, "near_duplicates": None, "num_negatives": 3}


@pytest.mark.parametrize("scorer", NAMES)
def test_any_scorer_decides(make: Make, scorer: str, scores: dict[str, np.ndarray]) -> None:
    """Its margin, from its own score of the positives; its order; its scores in the training files."""
    score, export = scores[scorer], [{"format": "margin-mse", "file": "train.jsonl"}]
    config = make(filter={**RULES, "score": scorer, "absolute_margin": 0.0}, export=export)
    negmine.run(config)
    candidates = {q: [p for at, p, _ in expected(scores) if at == q and p not in POSITIVES[q]] for q in range(QUERIES)}
    wanted = {}
    for q in range(QUERIES):
        reference = min(score[q, p] for p in POSITIVES[q])
        good = [p for p in candidates[q] if score[q, p] <= reference]
        wanted[q] = [(p, score[q, p]) for p in sorted(good, key=lambda p: (-score[q, p], p))[:3]]
    assert kept(config) == wanted
    assert sum(map(len, wanted.values())) > 3
    for row in parts(config, "filter"):
        assert {name: row[f"{name}_score"] for name in NAMES} == {
            name: scores[name][row["query"], row["passage"]] for name in NAMES
        }
    rows = [json.loads(line) for line in (Path(config.work_dir) / "export" / "train.jsonl").open()]
    assert len(rows) > 3
    card = (Path(config.work_dir) / "export" / "README.md").read_text("utf-8")
    assert (f"went by the scores of `{scorer}`" in card) == (scorer != "dense")
    assert "a further encoder, `splade`" in card
    for row in rows:
        q, positive, negative = ASKED.index(row["anchor"]), TEXTS.index(row["positive"]), TEXTS.index(row["negative"])
        assert row["label"] == pytest.approx(score[q, positive] - score[q, negative])


def test_each_scorer_has_a_calibrated_margin_of_its_own(make: Make, scores: dict[str, np.ndarray]) -> None:
    """With ``all``, a candidate goes when both object by their margins; with ``any``, when one does."""
    survivors = {}
    for agreement in ("any", "all"):
        rules = {**RULES, "score": ["dense", "bm25"], "leak_rate": 0.5, "agreement": agreement, "num_negatives": 20}
        config = make(filter={**rules})
        negmine.run(config)
        report = json.loads((Path(config.work_dir) / "filter" / "report.json").read_text())
        margins = report["leak_margins"]
        assert list(margins) == ["dense", "bm25"]
        assert report["leak_margin"] == margins["dense"]
        survivors[agreement] = set()
        for row in parts(config, "filter"):
            q, p = row["query"], row["passage"]
            if p in POSITIVES[q]:
                continue
            gaps = {name: min(scores[name][q, x] for x in POSITIVES[q]) - scores[name][q, p] for name in margins}
            objections = [gaps[name] <= margins[name] for name in margins]
            dropped = any(objections) if agreement == "any" else all(objections)
            assert row["reason"] == ("leak_margin" if dropped else "kept")
            survivors[agreement] |= set() if dropped else {(q, p)}
    assert survivors["any"] < survivors["all"]


def test_explain_shows_what_each_scorer_gave(make: Make, scores: dict[str, np.ndarray]) -> None:
    config = make(filter={**RULES, "score": "splade"})
    negmine.run(config)
    (query,) = explain(config, ["q2"])
    for each in query.candidates:
        passage = int(each.doc_id[1:])
        assert each.scores == {name: scores[name][2, passage] for name in NAMES}
        assert each.score == each.scores["splade"]
    assert sorted(p.score for p in query.positives) == sorted(scores["splade"][2, p] for p in POSITIVES[2])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mine": {"retrievers": ["dense", "othr"]}}, r"retrievers.1: expected one of dense, bm25.*found the text 'othr'"),
    ({"filter": {"score": "bm52"}}, r"filter.score: there is no scorer 'bm52'.*Did you mean 'bm25'"),
    (
        {"mine": {"retrievers": ["dense", "other"]}, "filter": {"score": "bm25"}},
        r"filter.score: 'bm25' scores candidates only .* Add it, with mine.quotas: {bm25: 0}",
    ),
    ({"filter": {"score": "bm25"}}, r"as_hard_as is a share of the reference score, and scores of BM25 have no scale"),
    (
        {"filter": {"score": "splade", "risk": None, "relative_margin": 0.1}},
        r"relative_margin: is a share of the reference score, and scores of 'splade' have no scale",
    ),
    ({"filter": {"score": ["dense", "bm25"], "relative_margin": 0.1}}, r"relative_margin: .*Set filter.leak_rate"),
    ({"filter": {"score": ["dense", "bm25"]}}, r"neither filter.leak_rate nor filter.relative_margin is set"),
    ({"filter": {"score": [None, []]}}, r"filter.score: expected auto, a scorer or a list of scorers, found"),
    ({"filter": {"score": ["dense", "auto"]}}, r"filter.score: 'auto' is no scorer"),
    (
        {"filter": {"score": "other", "random_share": 0.5}},
        r"filter.random_share: random passages have no score but that of the vectors",
    ),
    ({"mine": {"quotas": dict.fromkeys(NAMES, 0)}}, r"5 negatives .* cannot come from 0 candidates"),
]


@pytest.mark.parametrize(("sections", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_cannot_apply_is_refused(make: Make, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**sections)


ENCODERS: list[tuple[list[Any], str]] = [
    ([{"name": "a", "model": "m"}], r"embed.others.0.name: 'a' is not in mine.retrievers, and nothing else uses it"),
    ([{"name": "a"}], r"embed.others.0: there is no model. Set model, endpoint or vectors"),
    ([{"model": "m"}], r"embed.others.0.name"),
    ([{"name": "dense", "model": "m"}], r"'dense' marks candidates of negmine's own"),
    ([{"name": "bm25", "model": "m"}], r"embed.others.0.name: 'bm25' is the search over the words"),
    ([{"name": "a", "model": "m"}] * 2, r"embed.others.1.name: 'a' is also the name of embed.others.0"),
    ([{"name": "a", "kind": "sparse", "model": "m", "normalize": False}], r"others.0.normalize: applies only to dense"),
    ([{"name": "a", "kind": "sparse", "model": "m", "device": ["cpu", "cpu"]}], r"others.0.device: .* single device"),
    ([{"name": "a", "modl": "m"}], r"embed.others.0.modl: there is no such key. Did you mean 'model'"),
]


@pytest.mark.parametrize(("others", "message"), ENCODERS, ids=[message for _, message in ENCODERS])
def test_a_wrong_encoder_is_refused(tmp_path: Path, others: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        negmine.config_from_dict({"data": {"pairs": "p"}, "embed": {"model": "m", "others": others}}, tmp_path)


def test_a_model_of_the_wrong_kind_is_told_before_anything_is_done(make: Make, splade: Path, tmp_path: Path) -> None:
    """A sparse model as a dense encoder, and the other way round; errors name the key of the encoder."""
    make()
    static = tiny_models.save_static(tmp_path / "static")

    def config(**other: Any) -> Config:
        embed = {"model": str(static), "others": [{"name": "a", **other}]}
        data = {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"}
        mine = {"retrievers": ["dense", "a"], "k": K}
        return negmine.config_from_dict({"data": data, "embed": embed, "mine": mine, "work_dir": "new"}, tmp_path)

    with pytest.raises(
        InputError, match=r"this is a SparseEncoder and not an embedding model. Check embed.others.0.model"
    ):
        negmine.run(config(model=str(splade)))
    with pytest.raises(InputError, match="this is a SentenceTransformer and not a sparse encoder"):
        negmine.run(config(model=str(static), kind="sparse"))
    with pytest.raises(NegmineError, match=r"model folder of embed.others.0.model '.*nowhere' does not exist"):
        negmine.run(config(model=str(tmp_path / "nowhere")))
    assert not (tmp_path / "new" / "ingest").exists()
