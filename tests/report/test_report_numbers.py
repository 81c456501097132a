"""The numbers of a page are those of the run's Parquet files."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from report_run import NEGATIVES, QUERIES, TEXTS, K, config

import negmine
from negmine.report import collecting
from negmine.report.collecting import collected
from negmine.report.tally import doubling
from negmine.results import read_verdicts
from negmine.store.tables import read_columns


class Tables(HTMLParser):
    """Every table of a page as rows of texts, by the id of the section it is in."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: dict[str, list[list[list[str]]]] = {}
        self._section, self._cell = "", False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):  # type: ignore[no-untyped-def]
        if tag == "section":
            self._section = dict(attrs)["id"]
        if tag == "table":
            self.found.setdefault(self._section, []).append([])
        if tag == "tr":
            self.found[self._section][-1].append([])
        if tag in ("td", "th"):
            self.found[self._section][-1][-1].append("")
            self._cell = True

    def handle_endtag(self, tag):  # type: ignore[no-untyped-def]
        self._cell &= tag not in ("td", "th")

    def handle_data(self, data):  # type: ignore[no-untyped-def]
        if self._cell:
            self.found[self._section][-1][-1][-1] += data


@pytest.fixture(scope="module")
def run(folder):
    return collected(config(folder), None)


@pytest.fixture(scope="module")
def verdicts(folder):
    return read_verdicts(config(folder)).to_pylist()


def test_reasons_are_counted_as_in_the_verdicts(page, verdicts):
    """The table of reasons has every verdict once."""
    rows = Tables(page).found["candidates"][0][1:]
    assert {row[0]: int(row[1].replace(",", "")) for row in rows} == Counter(row["reason"] for row in verdicts)
    assert sum(float(row[2].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.05)


def test_scores_are_counted_by_kind(run, folder, verdicts):
    """Positives as mine scored them, negatives, and all else that is no positive."""
    positives = read_columns(folder / "run" / "mine" / "positives.parquet", ["score"])["score"].to_pylist()
    kinds = {
        "positives": positives,
        "negatives": [row["score"] for row in verdicts if row["reason"] == "kept"],
        "dropped": [row["score"] for row in verdicts if row["reason"] not in ("kept", "positive")],
    }
    for kind, values in kinds.items():
        found = run.scores.value.ranges[kind]
        assert (found.count, found.least, found.greatest) == (len(values), min(values), max(values))
        assert found.mean == pytest.approx(np.mean(values))
        edges = run.scores.value.histogram.edges
        assert run.scores.value.histogram.counts[kind].tolist() == np.histogram(values, edges)[0].tolist()


def test_hubs_are_the_passages_that_serve_most(run, verdicts):
    """Counts per passage and their groups agree with the verdicts."""
    served = Counter(row["doc_id"] for row in verdicts if row["verdict"] == "kept")
    assert all(hub.queries == served[hub.doc_id] for hub in run.hubs.value.top)
    assert [hub.queries for hub in run.hubs.value.top] == sorted((n for n in served.values() if n > 1), reverse=True)[
        :20
    ]
    for low, high, passages, negatives in run.hubs.value.groups:
        inside = [n for n in served.values() if low <= n <= high]
        assert (passages, negatives) == (len(inside), sum(inside))
    assert sum(group[3] for group in run.hubs.value.groups) == sum(served.values())


def test_doubling_groups_cover_every_count_once():
    """Groups are 1, 2, 3-4, 5-8 ..., zeros are in none."""
    assert doubling(np.array([0, 1, 1, 2, 3, 4, 5, 9])) == [
        (1, 1, 2, 2),
        (2, 2, 1, 2),
        (3, 4, 2, 7),
        (5, 8, 1, 5),
        (9, 16, 1, 9),
    ]
    assert doubling(np.zeros(3, np.int64)) == []


def test_short_queries_are_counted(run, verdicts):
    """How many queries have 0, 1, 2 ... negatives."""
    kept = Counter(row["query"] for row in verdicts if row["verdict"] == "kept")
    counts = Counter(kept[query] for query in range(QUERIES))
    assert run.shortage.value.by_count == tuple((n, counts[n]) for n in range(NEGATIVES))
    assert run.shortage.value.queries > 0


def test_stages_tell_what_went_in_and_out(run, verdicts):
    """What filter took in is what mine gave out."""
    told = {step.stage: step for step in run.steps}
    assert told["mine"].came_out == (f"{len(verdicts)} candidates",) == told["filter"].came_in
    kept = sum(row["verdict"] == "kept" for row in verdicts)
    assert told["filter"].came_out == (f"{kept} negatives",) == told["export"].came_in
    assert told["ingest"].came_out == (f"{QUERIES} queries", "89 passages", f"{QUERIES + QUERIES // 3} labelled pairs")
    assert "repeated passage texts: 1" in told["ingest"].left


def test_the_sweep_is_that_of_the_sweep_command(page, run, folder):
    """Same points, and the config's own is marked."""
    from negmine.sweep import axes, sweep

    found = sweep(config(folder), axes(config(folder)))
    assert run.sweep.value.as_json() == found.as_json()
    rows = Tables(page).found["thresholds"][0][1:]
    assert [row[1] for row in rows if "your config" in row[0]] == [f"{found.current.yield_:.1%}"]


def test_pairs_are_those_of_the_audit(page, folder):
    """Findings are counted as in pairs.parquet."""
    pairs = pq.read_table(folder / "run" / "filter" / "pairs.parquet")["findings"].to_pylist()
    counts = Counter(name for names in pairs for name in names)
    rows = Tables(page).found["labels"][0][1:]
    assert {row[0]: int(row[1]) for row in rows} == {row[0]: counts[row[0]] for row in rows}
    assert counts["low_rank"] > 0


def test_queries_open_to_what_the_verdicts_say(page, data_of, verdicts):
    """Kept ones in order, then dropped ones, each with score, rank, risk and reason; all counted."""
    data = data_of(page)
    assert len(data["queries"]) == QUERIES
    names = [name for name, _ in data["reasons"]]
    for query in data["queries"]:
        own = [row for row in verdicts if row["query"] == query["n"]]
        by_id = {row["doc_id"]: row for row in own}
        assert {names[code]: n for code, n in query["counts"]} == Counter(row["reason"] for row in own)
        shown = query["candidates"]
        assert [row[6] for row in shown if row[6] is not None] == list(range(1, query["kept"] + 1))
        assert len(shown) == len(own) - sum(row["reason"] == "positive" for row in own) <= K
        for passage, reason, rank, score, similarity, risk, position, source, _ in shown:
            row = by_id[data["passages"][passage][0]]
            assert (names[reason], rank, position) == (row["reason"], row["rank"], row["position"])
            assert (score, similarity, risk) == tuple(
                round(row[name], 4) for name in ("score", "positive_similarity", "risk")
            )
            assert data["sources"][source] == "dense"


def test_marked_words_are_words_of_the_query(page, data_of):
    """What is marked in a text is in its query, whatever the script; units are those of browsers."""
    data = data_of(page)
    marked = {}
    for query in data["queries"]:
        for row in (*query["positives"], *query["candidates"]):
            units = data["passages"][row[0]][1].encode("utf-16-le")
            starts, lengths = row[-1][::2], row[-1][1::2]
            words = [units[2 * a : 2 * (a + n)].decode("utf-16-le") for a, n in zip(starts, lengths, strict=True)]
            own = query["text"].casefold()
            assert all(word.casefold() in own or (set(word) <= set(own) and ord(word[0]) > 0x3000) for word in words)
            marked.setdefault(query["n"], set()).update(words)
    assert "重置密码" in marked[3]  # two words of the query that touch
    assert {"تعيين", "كلمة", "المرور"} <= marked[2]
    assert "リセットする" in marked[4]
    assert {"emoji", "reset"} <= marked[6]


def test_texts_are_whole_or_marked_as_cut(page, data_of):
    """Texts of queries come as they are; a long passage ends with an ellipsis."""
    data = data_of(page)
    texts = {query["n"]: query["text"] for query in data["queries"]}
    assert {q: texts[q] for q in TEXTS} == TEXTS
    long = next(text for name, text in data["passages"] if name == "d7")
    assert long.endswith(" …")
    assert len(long) < 510


@pytest.mark.usefixtures("undrawn")
def test_a_sample_is_stated_and_drawn_by_hash(folder, tmp_path, data_of):
    """Ten drawn ones are those with the least hashes; notable ones are there besides, and the page says so."""
    path = tmp_path / "r.html"
    written = negmine.write_report(config(folder), path, queries=10)
    data = data_of(path)
    hashes = read_columns(folder / "run" / "ingest" / "queries.parquet", ["id_hash"])["id_hash"].to_numpy()
    plain = {query["n"] for query in data["queries"] if not query["why"]}
    here = {query["n"] for query in data["queries"]}
    drawn = set(np.argsort(hashes)[:10].tolist())
    assert plain <= drawn <= here
    assert written.queries == len(here) < QUERIES
    assert f"A sample: {len(here)} of {QUERIES} queries, {len(plain)} drawn" in path.read_text("utf-8")


@pytest.mark.usefixtures("undrawn")
def test_notable_queries_are_the_riskiest_and_shortest(folder, tmp_path, data_of, monkeypatch, verdicts):
    """Of each kind the first in order."""
    from negmine.report import choosing

    monkeypatch.setattr(choosing, "NOTABLE", 4)
    path = tmp_path / "r.html"
    negmine.write_report(config(folder), path, queries=1)
    rows = data_of(path)["queries"]
    risk = dict.fromkeys(range(QUERIES), -1.0)
    kept = Counter()
    for row in verdicts:
        if row["verdict"] == "kept":
            risk[row["query"]] = max(risk[row["query"]], row["risk"])
            kept[row["query"]] += 1
    assert {q["n"] for q in rows if "riskiest" in q["why"]} == set(sorted(risk, key=lambda q: (-risk[q], q))[:4])
    assert {q["n"] for q in rows if "short" in q["why"]} == set(sorted(risk, key=lambda q: (kept[q], q))[:4])
    report = json.loads((folder / "run" / "filter" / "pairs.json").read_text("utf-8"))
    worst = list(dict.fromkeys(row["query_id"] for row in report["worst"]))[:4]
    assert {q["id"] for q in rows if "doubtful" in q["why"]} == set(worst)


@pytest.mark.usefixtures("undrawn")
def test_a_page_stays_within_its_budget(folder, tmp_path, data_of, monkeypatch):
    """By default only as many queries are on it as fit; a number that was asked for is kept to."""
    monkeypatch.setattr(collecting, "_QUERY_BYTES", 20_000)
    few = negmine.write_report(config(folder), tmp_path / "few.html")
    table = re.search(r'id="run-data">(.*?)</script>', few.path.read_text("utf-8"), re.S)[1]
    assert 0 < few.queries < QUERIES
    assert 20_000 <= len(table.encode()) < 30_000
    assert negmine.write_report(config(folder), tmp_path / "all.html", queries=QUERIES).queries == QUERIES


def test_the_same_run_makes_the_same_bytes(folder, page, tmp_path):
    """Nothing in a page comes from when or how it is made."""
    again = negmine.write_report(config(folder, threads=1), tmp_path / "again.html")
    assert again.path.read_bytes() == page.read_bytes()


def test_text_cannot_become_markup(page):
    """The hostile texts are there, and none of their tags is."""
    text = page.read_text("utf-8")
    assert "window.hacked" in text
    assert "<script>window.hacked" not in text
    assert "<img" not in text
    assert len(re.findall(r"<script\b", text)) == 2
    assert "{{ 7 * 7 }}" in text
    assert re.search(r"https?://", re.sub(r"http://www\.w3\.org/[\w/.]+", "", text)) is None
