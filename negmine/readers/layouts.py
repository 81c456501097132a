"""How a format lays out its files of texts, where that is not by the columns of the config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Usual names of id columns, and whether .tsv files have no header.

    An id is in the column that the config names, else in the first of ``doc_ids`` or ``query_ids`` that is there.
    """

    doc_ids: tuple[str, ...] = ()
    query_ids: tuple[str, ...] = ()
    headerless: bool = False


_QUERY_IDS = ("_id", "id", "query_id", "qid")

LAYOUTS: dict[str, Layout] = {
    "beir": Layout(doc_ids=("id",), query_ids=_QUERY_IDS),
    "msmarco": Layout(query_ids=_QUERY_IDS, headerless=True),
    "trec": Layout(query_ids=_QUERY_IDS, headerless=True),
    "tevatron": Layout(doc_ids=("docid",)),
    "tevatron-ids": Layout(doc_ids=("docid",)),
    "ids": Layout(doc_ids=("document_id", "id"), query_ids=("query_id", "id")),
}
"""By format; others have none of their own."""


def id_column(chosen: str, usual: Sequence[str], names: Sequence[str]) -> str:
    """Which of the columns ``names`` holds ids: the one that was ``chosen``, else the first ``usual`` one."""
    return next((name for name in (chosen, *usual) if name in names), chosen)
