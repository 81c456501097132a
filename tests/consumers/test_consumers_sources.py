"""What readers ask of a file that cannot be installed: their rules, as found in their source, checked here.

Tevatron's package on the index is of 2022; its present reader (``tevatron/retriever/dataset.py``, read at commit
dd06310) takes titles without asking, draws one positive and as many negatives as a group wants with repetition when
there are fewer (which fails for none), and looks ids up in a table ``docid`` -> row of the corpus.
"""

from __future__ import annotations

from pathlib import Path

from datasets import Dataset, load_dataset
from sample import Group, Passage


def load(path: Path, cache: Path) -> Dataset:
    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


def texts(passages: tuple[Passage, ...]) -> list[str]:
    return [f"{one.title} {one.text}" for one in passages]


def test_tevatron_has_titles_and_never_an_empty_list(exported: Path, groups: list[Group], tmp_path: Path) -> None:
    rows = load(exported / "tevatron.jsonl", tmp_path)
    kept = [group for group in groups if group.negatives]
    assert len(rows) == len(kept)
    for row, group in zip(rows, kept, strict=True):
        assert (row["query_id"], row["query"]) == (group.query_id, group.text)
        for side, passages in (("positive", group.positives), ("negative", group.negatives)):
            found = row[f"{side}_passages"]
            assert [one["title"] + " " + one["text"] for one in found] == texts(passages)
            assert [one["docid"] for one in found] == [one.doc_id for one in passages]
            assert [one["score"] for one in found] == [one.score for one in passages]


def test_tevatron_finds_every_id_in_the_corpus(exported: Path, groups: list[Group], tmp_path: Path) -> None:
    rows, corpus = (load(exported / "tevatron-ids" / f"{name}.jsonl", tmp_path) for name in ("train", "corpus"))
    row_of = {docid: row for row, docid in enumerate(corpus["docid"])}
    assert len(row_of) == len(corpus)
    kept = [group for group in groups if group.negatives]
    assert len(rows) == len(kept)
    for row, group in zip(rows, kept, strict=True):
        assert (row["query_id"], row["query_text"]) == (group.query_id, group.text)
        for side, passages in (("positive", group.positives), ("negative", group.negatives)):
            found = [corpus[row_of[docid]]["text"] for docid in row[f"{side}_document_ids"]]
            assert found == [one.whole for one in passages]
