"""A run that searches words as well as vectors."""

from __future__ import annotations

import builtins
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

import negmine
from negmine.config import Config
from negmine.errors import ConfigError, MissingDependencyError

sys.path.insert(0, str(Path(__file__).parents[1] / "integrity"))
from stopping import Stopping

K, PASSAGES, QUERIES = 6, 50, 9
DRAW = random.Random(4)
WORDS = [f"word{number}" for number in range(14)]
TEXTS = [" ".join(DRAW.choices(WORDS, k=DRAW.randint(1, 6))) for _ in range(PASSAGES)]
TEXTS = [text if TEXTS.index(text) == number else f"{text} only{number}" for number, text in enumerate(TEXTS)]
ASKED = [" ".join(DRAW.choices(WORDS, k=2)) for _ in range(QUERIES - 1)] + ["nothing known"]
RNG = np.random.default_rng(5)
VECTORS = RNG.integers(-2, 3, (PASSAGES, 5)).astype(np.float32) + np.float32(0.5)
QUERY_VECTORS = RNG.integers(-2, 3, (QUERIES, 5)).astype(np.float32) + np.float32(0.5)
COSINES = QUERY_VECTORS.astype(np.float64) @ VECTORS.T.astype(np.float64)
POSITIVES = [sorted({(7 * q) % PASSAGES, (11 * q + 8) % PASSAGES}) for q in range(QUERIES)]
GIVEN = {0: [3, 40, 5, 6, 7, 9, 10, 11, 13, 14], 4: [12]}
Lists = dict[str, dict[int, int]]
Make = Callable[..., Config]


def word_scores() -> np.ndarray:
    scorer = bm25s.BM25(k1=1.2, b=0.75)
    scorer.index([text.split() for text in TEXTS], show_progress=False)
    known = [scorer.get_tokens_ids(text.split()) for text in ASKED]
    return np.array([scorer.get_scores_from_ids(ids) if ids else np.zeros(PASSAGES) for ids in known], np.float64)


BM25 = word_scores()


def ranked(scores: np.ndarray, q: int, depth: int, least: float = -np.inf) -> dict[int, int]:
    """Passages and ranks down to the ``depth``-th that is no positive."""
    order = [p for p in sorted(range(PASSAGES), key=lambda p: (-scores[q, p], p)) if scores[q, p] > least]
    others = [n for n, p in enumerate(order) if p not in POSITIVES[q]]
    last = others[depth - 1] + 1 if len(others) >= depth else len(order)
    return {p: n + 1 for n, p in enumerate(order[:last])}


def lists_of(q: int, names: list[str], quota: int) -> Lists:
    every = {"dense": ranked(COSINES, q, K), "bm25": ranked(BM25, q, quota, 0.0)}
    given = {p: n + 1 for n, p in enumerate(GIVEN.get(q, []))}
    return {name: {**every, "given": given}[name] for name in names}


def expected(names: list[str], fusion: str = "none", quota: int = K) -> list[tuple[int, int, dict[str, int]]]:
    """Query, passage and who found it at which rank, in order: the whole of mine in plain Python."""
    rows = []
    for q in range(QUERIES):
        lists = lists_of(q, names, quota)
        found = {p: {name: lists[name][p] for name in names if p in lists[name]} for name in names for p in lists[name]}
        fused = {p: sum(sorted((1 / (60 + rank) for rank in by.values()), reverse=True)) for p, by in found.items()}
        order = sorted(
            found, key=lambda p: (-fused[p] if fusion == "rrf" else 0, -COSINES[q, p] * (fusion == "none"), p)
        )
        left = K if fusion == "rrf" else PASSAGES
        for p in order:
            if left or "given" in found[p]:
                rows.append((q, p, found[p]))
                left -= bool(left) and p not in POSITIVES[q] and "given" not in found[p]
    return rows


@pytest.fixture
def make(tmp_path: Path) -> Make:
    np.save(tmp_path / "c.npy", VECTORS)
    pairs: list[dict[str, Any]] = [
        {"query_id": f"q{q}", "anchor": ASKED[q], "positive_id": f"d{p}"} for q in range(QUERIES) for p in POSITIVES[q]
    ]
    np.save(tmp_path / "q.npy", QUERY_VECTORS[[int(row["query_id"][1:]) for row in pairs]])
    for q, negatives in GIVEN.items():
        next(row for row in pairs if row["query_id"] == f"q{q}")["negative_id"] = [f"d{p}" for p in negatives]
    documents = [{"_id": f"d{p}", "text": TEXTS[p]} for p in range(PASSAGES)]
    for name, rows in (("corpus", documents), ("pairs", pairs)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def config(name: str = "work", *, keep: bool = False, **sections: Any) -> Config:
        data = {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", "negatives": "keep" if keep else "ignore"}
        vectors = {"corpus": "c.npy", "queries": "q.npy"}
        embed = {"vectors": vectors, "similarity": "dot", "normalize": False}
        mine = {"k": K, "retrievers": ["dense", "bm25"], **sections.pop("mine", {})}
        return negmine.config_from_dict(
            {"work_dir": name, "data": data, "embed": embed, "mine": mine, **sections}, tmp_path
        )

    return config


def mined(config: Config) -> list[dict[str, Any]]:
    negmine.run(config, until="mine")
    parts = sorted((Path(config.work_dir) / "mine").glob("part-*.parquet"))
    return [row for path in parts for row in pq.read_table(path).to_pylist()]


def as_expected(rows: list[dict[str, Any]]) -> list[tuple[int, int, dict[str, int]]]:
    return [(row["query"], row["passage"], dict(zip(row["retrievers"], row["ranks"], strict=True))) for row in rows]


WAYS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "both": (["dense", "bm25"], {}),
    "in another order": (["bm25", "dense"], {}),
    "bm25 alone": (["bm25"], {}),
    "with a quota": (["dense", "bm25"], {"quotas": {"bm25": 2}}),
    "fused": (["dense", "bm25"], {"fusion": "rrf"}),
    "fused with a quota": (["dense", "bm25"], {"fusion": "rrf", "quotas": {"bm25": 2}}),
    "fused with given ones": (["dense", "bm25", "given"], {"fusion": "rrf"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_candidates_are_those_of_brute_force(make: Make, way: str) -> None:
    """BM25 as bm25s has it, cut to its depth; own positives take no place; fused by the sum of 1 / (60 + rank)."""
    names, mine = WAYS[way]
    retrievers = [name for name in names if name != "given"]
    rows = mined(make(keep="given" in names, mine={"retrievers": retrievers, **mine}))
    quota = mine.get("quotas", {}).get("bm25", K)
    assert as_expected(rows) == expected(names, mine.get("fusion", "none"), quota)
    assert [row["score"] for row in rows] == [COSINES[row["query"], row["passage"]] for row in rows]


def test_the_lists_are_hard() -> None:
    """The oracle sees ties of BM25 at the depth, candidates of both, own positives, and a query without a word."""
    ties = [sorted(BM25[q], reverse=True)[K - 1 : K + 1] for q in range(QUERIES - 1)]
    assert any(a == b > 0 for a, b in ties)
    rows = expected(["dense", "bm25"])
    assert sum(len(by) == 2 for _, _, by in rows) > 3
    assert any(p in POSITIVES[q] and "bm25" in by for q, p, by in rows)
    assert not any("bm25" in by for q, _, by in rows if q == QUERIES - 1)
    assert len(expected(["dense", "bm25"], "rrf")) < len(rows)


def test_positives_have_the_rank_and_score_of_every_retriever(make: Make) -> None:
    """The rank is null where the retriever did not go so deep or the words have nothing in common."""
    config = make()
    mined(config)
    rows = pq.read_table(Path(config.work_dir) / "mine" / "positives.parquet").to_pylist()
    assert [row["retrievers"] for row in rows] == [["dense", "bm25"]] * len(rows)
    for row in rows:
        q, p = row["query"], row["passage"]
        depth = K + len(POSITIVES[q])
        places = [
            int((scores[q] > scores[q, p]).sum() + (scores[q, :p] == scores[q, p]).sum()) + 1
            for scores in (COSINES, BM25)
        ]
        known = [COSINES[q, p] > -np.inf, BM25[q, p] > 0]
        assert row["ranks"] == [n if n <= depth and has else None for n, has in zip(places, known, strict=True)]
        assert row["scores"] == [COSINES[q, p], BM25[q, p]]
        assert (row["rank"], row["score"]) == (row["ranks"][0], row["scores"][0])
    assert {None} < {row["ranks"][1] for row in rows}


@pytest.mark.parametrize(
    "how", [{"mine": {"part_queries": 2}}, {"memory_limit": "64MB"}, {"threads": 1}, {"counted": 7}], ids=str
)
@pytest.mark.parametrize("method", ["lucene", "bm25+"])
def test_the_cut_of_the_work_changes_nothing(
    make: Make, how: dict[str, Any], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither candidates nor, by passages that are counted at once, the index."""
    index = {"bm25": {"method": method}}
    whole_config, cut_config = (
        make("whole", index=index),
        make("cut", index=index, **{k: v for k, v in how.items() if k != "counted"}),
    )
    whole = mined(whole_config)
    if "counted" in how:
        monkeypatch.setattr("negmine.stages.lexical.COUNTED_ROWS", how["counted"])
        monkeypatch.setattr("negmine.stages.lexical._TEXTS", 3)
    if "memory_limit" in how:
        monkeypatch.setattr("negmine.stages.mine.part.CANDIDATE_BYTES", 10**8)
    assert mined(cut_config) == whole
    for name in ("offsets.npy", "passages.npy", "weights.npy", "terms.parquet"):
        one, other = (Path(config.work_dir) / "index" / "bm25" / name for config in (whole_config, cut_config))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_index_ends_with_the_same_bytes(make: Make, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between counts, and before the weights are written."""
    monkeypatch.setattr("negmine.stages.lexical.COUNTED_ROWS", 20)
    whole, cut = make("whole"), make("cut")
    negmine.run(whole, until="index")
    with pytest.raises(KeyboardInterrupt):
        negmine.run(cut, until="index", executor=Stopping("index", after))
    result = negmine.run(cut, until="index").stages[-1]
    assert result.tasks_run == result.tasks - after
    for path in (Path(whole.work_dir) / "index" / "bm25").iterdir():
        assert (Path(cut.work_dir) / "index" / "bm25" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("method", ["lucene", "bm25l"])
def test_without_a_word_in_common_there_is_no_candidate(make: Make, method: str) -> None:
    """Not even where no passage has a word: the index is then empty."""
    everything = [*WORDS, *(f"only{number}" for number in range(PASSAGES))]
    words = {"method": method, "stopwords": everything}
    assert mined(make(mine={"retrievers": ["bm25"]}, index={"bm25": words})) == []


def test_a_changed_text_is_counted_anew_where_its_vector_stays(make: Make, tmp_path: Path) -> None:
    """Ready-made vectors do not change with the texts, and the words do."""
    config = make()
    mined(config)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace(json.dumps(TEXTS[4]), json.dumps(f"{ASKED[0]} changed")))
    again, fresh = mined(config), mined(make("fresh"))
    assert again == fresh
    assert ("q0", "d4", True) in {(row["query_id"], row["doc_id"], "bm25" in row["retrievers"]) for row in again}


@pytest.mark.parametrize(("package", "missing"), [("bm25s", "bm25s"), ("Stemmer", "PyStemmer")])
def test_a_missing_package_is_named_before_anything_runs(
    make: Make, package: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == package:
            raise ImportError(f"No module named '{name}'", name=name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    config = make(index={"bm25": {"stemmer": "english"}})
    with pytest.raises(MissingDependencyError, match=rf"the package {missing} cannot .*pip install 'negmine\[bm25\]'"):
        negmine.run(config)
    assert not (Path(config.work_dir) / "ingest" / "manifest.json").exists()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mine": {"retrievers": ["dense", "bm52"]}}, r"retrievers.1: expected one of dense, bm25, .*Did you mean 'bm25'"),
    ({"mine": {"retrievers": ["bm25", "bm25"]}}, r"retrievers.1: 'bm25' is also the name of mine.retrievers.0"),
    ({"mine": {"retrievers": ["bm25", {"run": "a", "name": "bm25"}]}}, r"retrievers.1.name: 'bm25' is also the name"),
    (
        {"mine": {"retrievers": ["dense"], "fusion": "rrf"}},
        r"mine.fusion: rrf merges several retrievers, and there is one",
    ),
    ({"mine": {"quotas": {"bm52": 5}}}, r"mine.quotas.bm52: 'bm52' is not in mine.retrievers. Did you mean 'bm25'"),
    ({"mine": {"quotas": {"bm25": 7}}}, r"mine.quotas.bm25: 7 is more than mine.k, which is 6"),
    ({"mine": {"quotas": {"bm25": -1}}}, r"mine.quotas.bm25: must be at least 0"),
    (
        {"mine": {"retrievers": ["dense", {"run": "a", "name": "b"}], "quotas": {"b": 2}}},
        r"mine.quotas.b: 'b' is a run. Set its depth",
    ),
    ({"mine": {"retrievers": ["dense"]}, "index": {"bm25": {"b": 0.5}}}, r"index.bm25: applies only where words are"),
    ({"mine": {"retrievers": ["bm25"]}, "index": {"dense": "auto"}}, r"index.dense: applies only where the vectors"),
    ({"index": {"bm25": {"method": "okapi"}}}, r"index.bm25.method: expected one of lucene"),
    ({"index": {"bm25": {"stemmer": "englsh"}}}, r"index.bm25.stemmer: .*Did you mean 'english'"),
    ({"index": {"bm25": {"stopwords": "eng"}}}, r"index.bm25.stopwords: .*found the text 'eng'. Did you mean 'en'"),
    (
        {"index": {"bm25": {"stopwords": ["a", 1]}}},
        r"index.bm25.stopwords: expected a list of words, found the number 1",
    ),
    ({"index": {"bm25": {"tokenizer": "char-9"}}}, r"index.bm25.tokenizer: expected word, or char-2 to char-5"),
    ({"index": {"bm25": {"tokenizer": "char-3", "stemmer": "english"}}}, r"bm25.stemmer: applies only to words"),
    ({"index": {"bm25": {"delta": 0.5}}}, r"index.bm25.delta: applies only to bm25l and bm25\+"),
]


@pytest.mark.parametrize(("sections", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_config_is_refused(make: Make, sections: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**sections)
