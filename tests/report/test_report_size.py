"""However texts are made, the table of a page by default leaves it below 5 MB."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from negmine.config import config_from_dict
from negmine.explain import ExplainedCandidate, ExplainedPositive, ExplainedQuery
from negmine.report import collecting, details
from negmine.report.choosing import Chosen
from negmine.report.details import collect, encoded_bytes

PAGE = 5_000_000
REST = 250_000
"""More than all of a page but its table takes."""
WORDS = np.array(["".join(pair) for pair in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=2)])


def explained(query_id: str, kind: str) -> ExplainedQuery:
    """A query with 100 candidates of long texts: full of its own short words, or of what has to be escaped."""
    random = np.random.default_rng(int(query_id))
    own = random.choice(WORDS, 90, replace=False)

    def text() -> str:
        return " ".join(random.choice(own, 200)) if kind == "words" else "<&>'\"\\" * 90

    candidates = tuple(
        ExplainedCandidate(
            doc_id=f"{query_id}-{i}",
            text=text(),
            retriever="dense",
            rank=i,
            retrievers=("dense",),
            ranks=(i,),
            score=0.123456,
            scores={},
            positive_similarity=0.123456,
            risk=0.123456,
            verdict="kept" if i <= 5 else "dropped",
            reason="kept" if i <= 5 else "risk",
            explanation="kept" if i <= 5 else "risk",
            position=i if i <= 5 else None,
            judgement=None,
            judged_by=None,
        )
        for i in range(1, 101)
    )
    positive = ExplainedPositive(f"{query_id}-0", text(), 0.123456, None, ("not_retrieved", "low_rank"))
    return ExplainedQuery(query_id, (query_id,), " ".join(own), 0.123456, (positive,), candidates)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "markup"])
def test_a_table_fits_whatever_its_texts(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Of 100,000 queries as many are taken as fit, with every word marked or every character escaped."""
    monkeypatch.setattr(details, "explain", lambda config, ids: [explained(name, kind) for name in ids])
    chosen = [Chosen(q, str(q), ()) for q in range(collecting.MOST_QUERIES)]
    config = config_from_dict({"data": {"pairs": "p"}, "embed": {"model": "m"}})
    found = collect(config, chosen, collecting._QUERY_BYTES)
    assert 30 < len(found.queries) < len(chosen)
    assert sum(len(row[-1]) for query in found.queries for row in query["candidates"]) > 0 or kind == "markup"
    assert 3_000_000 < encoded_bytes(found.as_json()) < PAGE - REST
