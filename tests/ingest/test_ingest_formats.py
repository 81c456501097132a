"""What becomes of every layout: the same tables from the same data, the note that tells it, negatives that are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import Ingested, ingest_files, ingest_rows, write_rows

import negmine
from negmine.errors import ConfigError, InputError
from negmine.pipeline.events import Silent
from negmine.stages.ingest.negatives import negatives_table
from negmine.text import normalise

CORPUS = [{"_id": f"{n}", "title": f"T{n}" if n % 2 else "", "text": f"text {n}"} for n in range(9)]
# Query, its positives, its negatives; the second is asked twice.
DATA = [("what?", [0], [3, 4]), ("who?", [1, 2], [5]), ("who?", [6], [5, 0]), ("why?", [7], [7, 8])]


def passage(n: int) -> dict[str, Any]:
    return {"docid": n, "title": CORPUS[n]["title"] or None, "text": CORPUS[n]["text"]}


def whole(numbers: list[int]) -> list[str]:
    return [f"{CORPUS[n]['title']} {CORPUS[n]['text']}".strip() for n in numbers]


LAYOUTS: dict[str, list[dict[str, Any]]] = {
    "triplets": [{"anchor": q, "positive": whole(p), "negatives": whole(n)} for q, p, n in DATA],
    "labeled": [{"anchor": q, "documents": whole([*p, *n]), "labels": [1] * len(p) + [0] * len(n)} for q, p, n in DATA],
    "flagembedding": [{"query": q, "pos": whole(p), "neg": whole(n)} for q, p, n in DATA],
    "tevatron": [
        {"query": q, "positive_passages": list(map(passage, p)), "negative_passages": list(map(passage, n))}
        for q, p, n in DATA
    ],
    "tevatron-ids": [{"query_text": q, "positive_document_ids": p, "negative_document_ids": n} for q, p, n in DATA],
    "dpr": [
        {"question": q, "positive_ctxs": list(map(passage, p)), "hard_negative_ctxs": list(map(passage, n))}
        for q, p, n in DATA
    ],
    "ids": [{"query_id": q, "positive_id": p, "negative_id": n} for q, p, n in DATA],
}
# By number of the distinct query: which passages are positives, which are negatives and at what place.
POSITIVES = {("what?", 0), ("who?", 1), ("who?", 2), ("who?", 6), ("why?", 7)}
NEGATIVES = {("what?", 3, 1), ("what?", 4, 2), ("who?", 5, 1), ("who?", 0, 2), ("why?", 8, 2)}


def content(run: Ingested) -> tuple[set[Any], set[Any], int]:
    """Positives and negatives by query text and number of the text, and how many passages there are."""
    query = dict(run.rows("queries", "query", "text"))
    texts = run.rows("corpus", "passage", "title", "text")
    number = {p: whole(list(range(9))).index(f"{title} {text}".strip()) for p, title, text in texts}
    positives = {(query[q], number[p]) for q, p in run.rows("positives", "query", "passage")}
    negatives = {(query[q], number[p], rank) for q, p, rank in run.rows("negatives", "query", "passage", "rank")}
    return positives, negatives, len(number)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_gives_the_same_tables(tmp_path: Path, name: str) -> None:
    """With a corpus beside it, whose documents are found by text or by id."""
    more: dict[str, Any] = {}
    if name == "ids":
        more["queries"] = [{"query_id": q, "text": q} for q in ("what?", "who?", "why?")]
    run = ingest_rows(tmp_path, pairs=LAYOUTS[name], corpus=CORPUS, negatives="keep", **more)
    assert content(run) == (POSITIVES, NEGATIVES, 9)
    assert run.counts["given_negatives"] == 5
    assert run.counts["negatives_that_are_positives"] == 1
    assert run.counts["negatives_added_to_corpus"] == run.counts["positives_added_to_corpus"] == 0


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"ids", "tevatron-ids"}))
def test_without_a_corpus_the_passages_that_are_named_are_it(tmp_path: Path, name: str) -> None:
    run = ingest_rows(tmp_path, pairs=LAYOUTS[name], negatives="keep")
    assert content(run) == (POSITIVES, NEGATIVES, 9)
    (tmp_path / "without").mkdir()
    without = ingest_rows(tmp_path / "without", pairs=LAYOUTS[name])
    assert content(without) == (POSITIVES, set(), 5)
    assert without.counts["given_negatives"] == 0


@pytest.mark.parametrize("name", ["tevatron", "dpr"])
def test_titles_in_the_row_are_kept_apart(tmp_path: Path, name: str) -> None:
    rows = json.loads(json.dumps(LAYOUTS[name]).replace('"docid"', '"x"'))
    run = ingest_rows(tmp_path, pairs=rows)
    assert set(run.rows("corpus", "title", "text")) == {
        (CORPUS[n]["title"], CORPUS[n]["text"]) for n in (0, 1, 2, 6, 7)
    }


def test_negatives_that_are_in_no_document_join_the_corpus(tmp_path: Path) -> None:
    rows = [{"anchor": "q", "positive": "new", "negative": ["text 1", "newer", "newest"]}]
    run = ingest_rows(tmp_path, pairs=rows, corpus=CORPUS, negatives="keep")
    assert (run.counts["positives_added_to_corpus"], run.counts["negatives_added_to_corpus"]) == (1, 2)
    assert run.rows("corpus", "text")[-3:] == ["new", "newer", "newest"]


def test_negatives_of_queries_without_positive_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "positive_ctxs": [], "hard_negative_ctxs": [passage(1)]},
        {"question": "r", "positive_ctxs": [passage(2)], "hard_negative_ctxs": [passage(3)]},
    ]
    run = ingest_rows(tmp_path, pairs=rows, negatives="keep")
    assert run.rows("queries", "text", "query", "source_row") == [("r", 0, 1)]
    assert run.counts["queries_without_positive"] == 1
    assert run.rows("negatives", "query", "rank") == [(0, 1)]


def test_judgements_below_the_grade_are_negatives_in_the_order_of_the_file(tmp_path: Path) -> None:
    qrels = "q a 1\nr c 0\nq b 0\nr a 1\nq c -1\nr a 0\n"
    rows = {"corpus": [{"_id": i, "text": i} for i in "abc"], "queries": [{"_id": i, "text": f"{i}?"} for i in "qr"]}
    run = ingest_rows(tmp_path, qrels=qrels, negatives="keep", **rows)
    assert run.rows("negatives", "query", "passage", "rank") == [(0, 1, 1), (0, 2, 2), (1, 2, 1)]
    assert run.counts["negatives_that_are_positives"] == 1


def test_msmarco_as_folder_as_files_and_as_triples(tmp_path: Path) -> None:
    (tmp_path / "collection.tsv").write_text("".join(f"{n}\t{text}\n" for n, text in enumerate(whole(list(range(9))))))
    (tmp_path / "queries.train.tsv").write_text("1\twhat?\n2\twho?\n3\twhy?\n")
    numbers = {"what?": 1, "who?": 2, "why?": 3}
    judged = [(numbers[q], d, grade) for q, p, n in DATA for d, grade in [(d, 1) for d in p] + [(d, 0) for d in n]]
    (tmp_path / "qrels.train.tsv").write_text("".join(f"{q}\t0\t{d}\t{grade}\n" for q, d, grade in judged))
    triples = [(q, p, n) for q, positives, negatives in DATA for p in positives for n in negatives]
    (tmp_path / "ids.tsv").write_text("".join(f"{numbers[q]}\t{p}\t{n}\n" for q, p, n in triples))
    texts = "".join("\t".join([q, *whole([p, n])]) + "\n" for q, p, n in triples)
    (tmp_path / "triples.tsv").write_text(texts)
    corpus, queries = "collection.tsv", "queries.train.tsv"
    negatives = {pair[:2] for pair in NEGATIVES}
    for data in (
        {"path": "."},
        {"corpus": corpus, "queries": queries, "qrels": "qrels.train.tsv"},
        {"corpus": corpus, "queries": queries, "pairs": "ids.tsv"},
        {"corpus": corpus, "pairs": "triples.tsv", "format": "msmarco"},
        {"pairs": "triples.tsv"},
    ):
        found = content(ingest_files(tmp_path, **data, negatives="keep"))
        assert (found[0], {pair[:2] for pair in found[1]}, found[2]) == (POSITIVES, negatives, 9)


def test_a_negative_that_is_cut_is_all_its_chunks(tmp_path: Path) -> None:
    corpus = [{"_id": "a", "text": "short"}, {"_id": "b", "text": "word " * 30}]
    rows = [{"query_text": "q", "positive_document_ids": ["a"], "negative_document_ids": ["b"]}]
    chunked = {"long_documents": "chunk", "chunk": {"max_chars": 60, "overlap_chars": 0}}
    run = ingest_rows(tmp_path, pairs=rows, corpus=corpus, negatives="keep", **chunked)
    chunks = [passage for doc, passage in run.rows("corpus", "document", "passage") if doc == "b"]
    assert len(chunks) >= 3
    assert [(p, rank) for _, p, rank in run.rows("negatives", "query", "passage", "rank")] == [
        (passage, 1) for passage in sorted(set(chunks))
    ]


def test_a_negative_of_an_evaluation_set_leaves_with_its_document(tmp_path: Path) -> None:
    write_rows(tmp_path / "test.jsonl", [{"text": "bad"}])
    rows = [{"query": "q", "pos": ["a"], "neg": ["bad", "b"]}]
    run = ingest_rows(tmp_path, pairs=rows, negatives="keep", eval_guard={"files": ["test.jsonl"]})
    assert run.rows("corpus", "text") == ["a", "b"]
    assert run.rows("negatives", "passage", "rank") == [(1, 2)]


def test_ids_that_are_nowhere_are_refused_with_their_line(tmp_path: Path) -> None:
    queries = [{"_id": "q", "text": "one"}]
    rows = [{"query_id": "q", "positive_id": "0"}, {"query_id": "x", "positive_id": "0"}]
    with pytest.raises(InputError, match=r"pairs.jsonl:2: the query id 'x' is not in .*queries.jsonl"):
        ingest_rows(tmp_path, pairs=rows, corpus=CORPUS, queries=queries)
    rows = [{"query_id": "q", "positive_id": "0", "negative_id": "y"}]
    with pytest.raises(InputError, match=r"pairs.jsonl:1: the negative id 'y' is not in the corpus"):
        ingest_rows(tmp_path, pairs=rows, corpus=CORPUS, queries=queries, negatives="keep")


def test_labels_that_are_all_low_are_refused_with_what_to_set(tmp_path: Path) -> None:
    rows = [{"anchor": "q", "text": "a", "score": 0.9}]
    with pytest.raises(InputError, match=r"pairs.jsonl: no label reaches 1. Set data.min_grade to the least label"):
        ingest_rows(tmp_path, pairs=rows)
    assert ingest_rows(tmp_path, pairs=rows, format="labeled", min_grade=0.5).rows("positives", "grade") == [0.9]


def test_a_file_of_two_layouts_is_refused_naming_both(tmp_path: Path) -> None:
    rows = [{"query": "q", "pos": ["a"], "anchor": "q", "positive": "a"}]
    cause = (
        r"pairs.jsonl: this could be pairs \(pairs.jsonl has anchor, positive\) or flagembedding \(pairs.jsonl has "
        r"query, pos\). Set data.format: pairs or data.format: flagembedding"
    )
    with pytest.raises(InputError, match=cause):
        ingest_rows(tmp_path, pairs=rows)
    assert ingest_rows(tmp_path, pairs=rows, format="flagembedding").counts["positives"] == 1


def test_pairs_with_labels_are_not_taken_for_positives(tmp_path: Path) -> None:
    rows = [{"anchor": "q", "positive": "a", "label": 1}, {"anchor": "q", "positive": "b", "label": 0}]
    with pytest.raises(InputError, match=r"this could be pairs .* or labeled"):
        ingest_rows(tmp_path, pairs=rows)
    assert ingest_rows(tmp_path, pairs=rows, format="labeled").counts["positives"] == 1


def test_what_cannot_apply_to_the_layout_that_is_found_is_refused(tmp_path: Path) -> None:
    pairs = [{"anchor": "q", "positive": "a"}]
    with pytest.raises(
        ConfigError, match=r"data.negatives: there are none to keep in data.format: pairs \(pairs.jsonl"
    ):
        ingest_rows(tmp_path, pairs=pairs, negatives="keep")
    with pytest.raises(ConfigError, match=r"data.columns.label: names a column of data.pairs, and pairs has no such"):
        ingest_rows(tmp_path, pairs=pairs, columns={"label": "x"})


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def test_what_was_recognised_is_told_and_kept(tmp_path: Path) -> None:
    write_rows(tmp_path / "fe.jsonl", LAYOUTS["flagembedding"])
    data = {"data": {"pairs": "fe.jsonl"}, "embed": {"model": "none"}}
    notes = Notes()
    result = negmine.run(negmine.config_from_dict(data, tmp_path), until="ingest", reporter=notes)
    assert notes.told == ["data: flagembedding (fe.jsonl has query, pos, neg)"]
    assert result.stages[0].manifest.facts["data"] == {
        "format": "flagembedding",
        "why": "fe.jsonl has query, pos, neg",
    }
    named = negmine.config_from_dict({**data, "data": {"pairs": "fe.jsonl", "format": "flagembedding"}}, tmp_path)
    again = Notes()
    assert negmine.run(named, until="ingest", reporter=again).stages[0].state == "current"
    assert again.told == []


triples = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4))
pairs_of = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), unique=True)


@given(rows=st.lists(triples, max_size=20), excluded=pairs_of)
def test_the_table_of_negatives_is_that_of_brute_force(
    rows: list[tuple[int, int, int]], excluded: list[tuple[int, int]]
) -> None:
    least: dict[tuple[int, int], int] = {}
    for query, passage_, rank in rows:
        least[query, passage_] = min(rank, least.get((query, passage_), rank))
    expected = sorted((q, rank, p) for (q, p), rank in least.items() if (q, p) not in excluded)
    given_ = np.array(rows, np.int64).reshape(-1, 3)
    out = np.array(sorted(excluded), np.int64).reshape(-1, 2)
    columns, dropped = negatives_table(given_[:, 0], given_[:, 1], given_[:, 2], out[:, 0], out[:, 1])
    found = list(zip(*(columns[name].tolist() for name in ("query", "rank", "passage")), strict=True))
    assert found == expected
    assert dropped == len(set(least) & set(excluded))


@pytest.mark.parametrize("text", ["a\u0301 b", "\u05e9\u05dc\u05d5\u05dd", "\U0001f469\u200d\U0001f52c"])
def test_texts_come_through_as_they_are(tmp_path: Path, text: str) -> None:
    rows = [{"query": text, "pos": f"{text} 1", "neg": [f"{text} 2"]}]
    run = ingest_rows(tmp_path, pairs=rows, negatives="keep")
    assert run.rows("corpus", "text") == [f"{text} 1", f"{text} 2"]
    assert normalise(run.rows("queries", "text")[0]) == normalise(text)
