"""A folder in BEIR layout: all passages, labelled queries, qrels of the positives, and the negatives beside them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from negmine.arrays import spans
from negmine.writers.base import Cells, Groups, Lookup, Member, Options, Plain, Rows, lists
from negmine.writers.grouping import every_positive, grouped


class _Negatives(Plain):
    """``qid, pos, neg`` per query, as GPL trains on: ``neg`` has the negatives under the retrievers that found them."""

    label = ""
    file = "hard-negatives.jsonl"

    def rows(self, groups: Groups, options: Options) -> Rows:
        return grouped(groups, one_positive=False, size=None)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        ids, chosen = cells.passage("doc_id"), pa.array(rows.is_positive)
        return pa.table(
            {
                "qid": cells.query("query_id"),
                "pos": lists(rows.offsets_of(rows.is_positive), ids.filter(chosen)),
                "neg": _by_retriever(rows, cells, ids),
            }
        )


def _by_retriever(rows: Rows, cells: Cells, ids: pa.Array) -> pa.Array:
    """A map per row from the name of each retriever to the ids of the negatives it found, in falling score."""
    assert cells.groups.found_by is not None
    place = np.flatnonzero(~rows.is_positive)
    found = cells.groups.found_by.take(pa.array(rows.negative[place]))
    names = found.flatten().dictionary_encode()
    counts = found.value_lengths().to_numpy(zero_copy_only=False)
    of_row = np.repeat(np.repeat(np.arange(rows.count), np.diff(rows.offsets))[place], counts)
    alphabetical = np.argsort(np.argsort(np.array(names.dictionary.to_pylist(), str)))
    name = alphabetical[names.indices.to_numpy(zero_copy_only=False)] if len(names) else np.empty(0, np.int64)
    order = np.lexsort((name, of_row))  # a stable sort: negatives stay in falling score
    keys = np.stack([of_row[order], name[order]], axis=1)
    first = np.flatnonzero(np.concatenate([[True], (keys[1:] != keys[:-1]).any(axis=1)])[: len(keys)])
    listed = lists(np.append(first, len(keys)), ids.take(pa.array(np.repeat(place, counts)[order])))
    sorted_names = pa.array(sorted(names.dictionary.to_pylist()), pa.large_string())
    entries = cells.texts(sorted_names).take(pa.array(keys[first, 1]))
    offsets = pa.array(spans(keys[first, 0], rows.count), pa.int32())
    return pa.MapArray.from_arrays(offsets, entries, listed)


class _Qrels:
    """``query-id, corpus-id, score`` of every positive. Mined negatives are not in it, not even with grade 0: some
    readers take every row for a positive."""

    label = "qrels"
    file = "qrels/{split}.tsv"
    unfit_in_ids: tuple[str, str] | None = ('[\t\r\n"]', "a tab, a line break or a double quote")
    frame: tuple[str, str] | None = None

    def rows(self, groups: Groups, options: Options) -> Rows:
        return every_positive(groups)

    def table(self, rows: Rows, cells: Cells, options: Options) -> pa.Table:
        assert cells.groups.grade is not None
        whole = np.maximum(np.floor(cells.groups.grade[rows.positive]), 1).astype(np.int64)
        return pa.table(
            {
                "query-id": cells.query("query_id"),
                "corpus-id": cells.passage("doc_id"),
                "score": pa.array(whole),
            }
        )


class Beir:
    """All passages, so that a model can be tested on it as well. Readers take whole grades only, so others are
    rounded down, to 1 at least."""

    name = "beir"
    needs: tuple[str, ...] = ("grade", "found_by")
    members: tuple[Member, ...] = (_Negatives(), _Qrels())
    lookups: tuple[Lookup, ...] = (
        Lookup(
            "corpus", "corpus.jsonl", "passage", {"_id": "doc_id", "title": "title", "text": "text"}, everything=True
        ),
        Lookup("queries", "queries.jsonl", "query", {"_id": "query_id", "text": "text"}),
    )

    def documents(self, options: Options) -> dict[str, str]:
        return {}
