"""Every kind of run has a page: several retrievers, rerankers, approximate search, rules that keep nothing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from report_run import NEGATIVES, QUERIES, config, make

import negmine
from negmine.report.collecting import Collected, collected

sys.path.insert(0, str(Path(__file__).parents[1] / "scoring"))
sys.path.insert(0, str(Path(__file__).parents[1] / "endpoints"))

from rerank_server import RerankServer


def rules(**more: Any) -> dict[str, Any]:
    return {"num_negatives": NEGATIVES, **more}


def made(folder: Path, **more: Any) -> tuple[Collected, str]:
    """What a finished run tells, and its page."""
    make(folder)
    asked = config(folder, **more)
    negmine.run(asked)
    written = negmine.write_report(asked)
    assert written.missing == {}
    assert written.queries == QUERIES
    return collected(asked, None), written.path.read_text("utf-8")


def told(run: Collected, stage: str) -> Any:
    return next(step for step in run.steps if step.stage == stage)


@pytest.mark.slow
def test_two_retrievers(tmp_path: Path) -> None:
    """Who found what is counted, and told of each candidate."""
    run, page = made(tmp_path, mine={"k": 12, "retrievers": ["dense", "bm25"], "fusion": "rrf"})
    assert "By who found them" in page
    assert {"dense", "bm25"} <= set(run.queries.value.sources)
    assert any(" + bm25 #" in source or " + dense #" in source for source in run.queries.value.sources)


@pytest.mark.slow
def test_words_alone(tmp_path: Path) -> None:
    """Without a search by vectors there is no recall to tell."""
    run, page = made(tmp_path, mine={"k": 12, "retrievers": ["bm25"]}, pairs={})
    assert run.recall.value is None
    assert "were not retrieved" not in page
    assert "every query was compared with every passage" not in page


@pytest.mark.usefixtures("undrawn")
def test_an_approximate_search(tmp_path: Path) -> None:
    """The certificate is on the page with what was tried."""
    run, page = made(tmp_path, index={"dense": "IVF4,Flat", "recall_target": 0.5})
    certificate = run.recall.value
    assert f"recall@12 is <strong>{certificate['recall']:.4f}</strong>" in page
    assert f"at least {certificate['lower_bound']:.4f} over all queries" in page
    assert "<code>IVF4,Flat</code>" in page
    assert told(run, "index").came_out == ("search by IVF4,Flat",)


def test_rules_that_keep_nothing(tmp_path: Path) -> None:
    """There are no means of nothing, and every query came out short."""
    run, page = made(tmp_path, filter=rules(risk=None, max_score=-0.9999))
    assert run.verdicts.value["negatives"] == 0
    assert run.shortage.value.by_count[0] == (0, QUERIES)
    assert run.hubs.value.top == ()
    assert "0.0% of the slots filled" in page
    assert re.search(r"\b(nan|None|inf)\b", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S)) is None


@pytest.mark.usefixtures("undrawn")
def test_random_negatives(tmp_path: Path) -> None:
    """They came from no list: what filter took in is what mine gave out."""
    run, page = made(tmp_path, filter=rules(random_share=0.4))
    assert f"{QUERIES} of them random passages" in page
    assert told(run, "filter").came_in == told(run, "mine").came_out
    assert f"{QUERIES} of them random" in told(run, "filter").came_out
    assert "random" in run.queries.value.sources


@pytest.mark.usefixtures("undrawn")
def test_a_reranker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scores are those of the page, of positives too."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = RerankServer()
    try:
        run, page = made(tmp_path, rerank={"endpoint": {"url": server.url, "timeout": 5}}, filter=rules())
    finally:
        server.stop()
    assert run.scorer == "rerank"
    assert "Scores by the reranker" in page
    assert told(run, "rerank").came_out[0].endswith(" scores")
    positives = [row[1] for query in run.queries.value.queries for row in query["positives"]]
    assert min(positives) == pytest.approx(run.scores.value.ranges["positives"].least, abs=1e-4)
    without = collected(config(tmp_path, filter=rules()), None)
    assert without.scores.value.ranges == run.scores.value.ranges
    assert "the config has no rerank any more: this is the run as it was." in without.scores.notices
    assert without.stages["filter"] == "stale"


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"pairs": {"action": "keep"}},
        {"pairs": {"action": "drop", "max_rank": 2}},
        {"filter": rules(max_reuse=1)},
        {"filter": rules(on_shortage="random", relative_margin=0.4)},
        {"filter": rules(on_shortage="drop", relative_margin=0.4)},
        {"filter": rules(risk=None, near_duplicates=None)},
        {"filter": rules(leak_rate=0.2)},
        {"split": {"dev": 0.2}},
        {"data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl", "passage_template": "{text} / {title}"}},
    ],
    ids=str,
)
def test_other_kinds(tmp_path: Path, more: dict[str, Any]) -> None:
    """No key leads to a page that cannot be made."""
    made(tmp_path, **more)
