"""negmine diff: what is printed, and the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from comparable_runs import DOCUMENTS, QUERIES, Call, finished, kept, write

from negmine.comparing import compare
from negmine.comparing.page import render


class _Page(HTMLParser):
    """What of a page could load something, its open tags, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.words = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {name}" for name, _ in attributes if name in ("src", "href", "action")]
        self.loads += [tag] * (tag in ("script", "link", "iframe", "img", "object"))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.words += text


def test_diff_prints_tables(plain: Path, margin: Path, call: Call) -> None:
    """Runs, settings, churn, scores, verdicts and the queries that changed most are there, with the figures of
    ``compare``."""
    shown = call("diff", plain, margin, "-n", 2)
    found = compare(plain, margin, most=2)
    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"config +filter.relative_margin +- +0.05", shown.out)
    assert f"churn {found.churn.churn:.1%}" in shown.out
    assert re.search(rf"relative_margin +0 +{found.reasons['relative_margin'][1]} ", shown.out)
    heads = re.findall(r"^(q\d+)  Jaccard", shown.out, re.MULTILINE)
    assert heads == [query.query_id for query in found.changed]
    assert all(len(line) <= 120 for line in shown.out.splitlines())


def test_diff_lists_stand_side_by_side(plain: Path, margin: Path, call: Call) -> None:
    """--query shows one query alone: A's negatives on the left, B's on the right, those of both marked."""
    shown = call("diff", plain, margin, "--query", "q3").out.splitlines()
    a, b = kept(plain)["q3"], kept(margin).get("q3", [])
    lines = [[cell.strip() for cell in line.split("│")] for line in shown if "│" in line][1:]
    left = [cells[0].split()[:2] for cells in lines if re.match("[=-] d", cells[0])]
    right = [cells[1].split()[:2] for cells in lines if re.match("[=+] d", cells[1])]
    assert left == [["=" if doc in b else "-", doc] for doc in a]
    assert right == [["=" if doc in a else "+", doc] for doc in b]
    assert shown[2].startswith("q3")
    assert "verdict" not in "".join(shown)


def test_diff_json_is_one_object(plain: Path, margin: Path, call: Call) -> None:
    """--json prints what ``compare`` returns, and nothing else."""
    shown = call("diff", plain, margin, "--json")
    assert shown.json == json.loads(json.dumps(compare(plain, margin).as_json()))
    assert set(shown.json) == {"a", "b", "settings", "churn", "shifts", "reasons", "gone", "new", "changed"}


def test_diff_warns_on_stderr(data: Path, plain: Path, tmp_path: Path, call: Call) -> None:
    """A run whose config says something else now is compared as it is, with a warning."""
    vectors = {kind: str(data / "vectors" / f"{kind}.parquet") for kind in ("corpus", "queries")}
    config = {"work_dir": str(plain), "data": {"path": str(data), "split": "train"}, "embed": {"vectors": vectors}}
    (tmp_path / "now.yaml").write_text(json.dumps(config))
    shown = call("diff", plain, tmp_path / "now.yaml")
    assert shown.code == 0
    assert "warning: B, " in shown.err
    assert "mine is stale (mine.k changed: 15 -> 100)" in shown.err


def test_diff_page_stands_alone(plain: Path, margin: Path, tmp_path: Path, call: Call) -> None:
    """The page is well-formed, loads nothing, and has both lists of the queries that changed most."""
    shown = call("diff", plain, margin, "-n", 3, "--html", tmp_path / "diff.html")
    assert (shown.code, shown.err) == (0, f"page: {tmp_path / 'diff.html'}\n")
    text = (tmp_path / "diff.html").read_text("utf-8")
    page = _Page(text)
    assert page.loads == []
    assert "http" not in text
    for query in compare(plain, margin, most=3).changed:
        assert QUERIES[query.query_id] in page.words
        assert all(DOCUMENTS[negative.doc_id] in page.words for negative in (*query.a, *query.b))


def test_diff_page_escapes_what_users_wrote(tmp_path: Path) -> None:
    """Markup in texts and ids is text on the page, in the terminal control characters do nothing."""
    documents = {f"<b>{name}": f"{text} <script>alert(1)</script>" for name, text in DOCUMENTS.items()}
    queries = {name: f"{text} \x1b[31m & <i>" for name, text in QUERIES.items()}
    write(tmp_path / "data", documents, queries)
    a = finished(tmp_path / "data", tmp_path / "a")
    b = finished(tmp_path / "data", tmp_path / "b", {"num_negatives": 2})
    page = _Page(render(compare(a, b)))
    assert page.loads == []
    assert "<script>alert(1)</script>" in page.words


def test_diff_refuses_bad_calls(plain: Path, margin: Path, tmp_path: Path, call: Call) -> None:
    """What cannot be is told before anything is read, with exit code 2."""
    for words, cause in (
        ((plain, tmp_path / "none"), "there is no such run"),
        ((plain, margin, "--query", "q999"), "neither run has a query 'q999'"),
        ((plain, margin, "--query", "q1", "-n", 3), "-n and --query are given"),
        ((plain, margin, "--html", tmp_path), "the file is a folder"),
        ((plain, margin, "--html", tmp_path / "no" / "x.html"), "in a folder that is not there"),
        ((plain,), "Missing argument"),
    ):
        shown = call("diff", *words)
        assert (shown.code, shown.out) == (2, "")
        assert cause in shown.err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_diff_fits_the_terminal(width: int, plain: Path, margin: Path) -> None:
    """Lists are as wide as the terminal, also with wide characters."""
    from dataclasses import replace

    from rich.cells import cell_len

    from negmine.cli.comparing import _side_by_side

    (query,) = compare(plain, margin, most=1).changed
    wide = replace(query.a[0], text="漢字" * 60)
    lines = list(_side_by_side(replace(query, a=(wide,), text="длинный вопрос " * 20), width))
    assert max(map(cell_len, lines)) <= width
