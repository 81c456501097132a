"""sweep: a grid over thresholds of ``filter``, from the stored candidates."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from negmine import load_config
from negmine.sweep import axes, numeric_keys

SVG, PNG = b"<?xml", b"\x89PNG"


def tree(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".cache" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def several_positives(project: Path) -> None:
    """Give every query a second positive."""
    text = (project / "pairs.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    more = [{"anchor": row["anchor"], "positive": f"passage {i + 3}"} for i, row in enumerate(rows)]
    queries = np.load(project / "queries.npy")
    np.save(project / "queries.npy", np.concatenate([queries, queries]))
    (project / "pairs.jsonl").write_text(text + "".join(json.dumps(row) + "\n" for row in more), "utf-8")


def test_a_point_is_what_filter_reports(finished, call):
    shown = call("sweep", "--json", "--over", "relative_margin=0,0.4").json
    assert call("filter", "-q", "--set", "filter.relative_margin=0.4").code == 0
    report = json.loads((finished / "work" / "filter" / "report.json").read_text("utf-8"))
    point = shown["points"][1]
    assert point["values"] == {"filter.relative_margin": 0.4}
    names = ("reasons", "yield", "negatives", "queries_with_all", "leak")
    assert {name: point[name] for name in names} == {name: report[name] for name in names}


def test_the_json_says_what_was_looked_at(finished, call):
    shown = call("sweep", "--json", "--over", "filter.num_negatives=1:3:1").json
    assert shown["over"] == [{"key": "filter.num_negatives", "values": [1, 2, 3], "current": 2}]
    assert (shown["queries"], shown["queries_of_run"], shown["left_out"]) == (6, 6, [])
    assert [point["is_current"] for point in shown["points"]] == [False, True, False]
    assert shown["current"] == shown["points"][1]
    assert {point["leak"] for point in shown["points"]} == {None}


def test_the_table_has_a_row_per_point_and_marks_the_config(finished, call):
    lines = call("sweep", "--over", "num_negatives=1,2").out.splitlines()
    rows = [line.split() for line in lines[4:6]]
    assert [row[0] for row in rows] == ["1", "2"]
    assert [" ".join(row[6:]) for row in rows] == ["", "your config"]


def test_a_config_off_the_grid_has_a_row_of_its_own(finished, call):
    rows = [line.split() for line in call("sweep", "--over", "relative_margin=0.1").out.splitlines()[4:6]]
    assert [row[0] for row in rows] == ["null", "0.1"]
    assert rows[0][-2:] == ["your", "config"]


def test_the_leak_has_an_interval(project, call):
    several_positives(project)
    call("run", "-q")
    shown = call("sweep", "--json", "--over", "max_score=5").json["points"][0]["leak"]
    assert shown["interval"][0] <= shown["rate"] <= shown["interval"][1]
    assert "95% interval" in call("sweep", "--over", "max_score=5").out


@pytest.mark.parametrize(("enough", "words"), [(7, "6 queries only (says little)"), (6, "6 queries with several")])
def test_a_leak_of_few_queries_is_said_to_be_one(project, call, monkeypatch, enough, words):
    monkeypatch.setattr("negmine.selection.bootstrap.ENOUGH_QUERIES", enough)
    several_positives(project)
    call("run", "-q")
    assert words in call("sweep").out


def test_without_several_positives_the_leak_is_unknown(finished, call):
    out = call("sweep").out
    assert "leak: unknown" in out
    assert "95% interval" not in out


def test_reasons_that_do_not_change_are_said_once(finished, call):
    out = call("sweep", "--over", "num_negatives=1,2").out
    assert "the same everywhere: positive 6" in out


def test_the_other_limits_of_risk_are_named(finished, call):
    assert "held: risk {max: 0.5}" in call("sweep", "--over", "risk.as_hard_as=0.1").out
    assert "held:" not in call("sweep", "--over", "relative_margin=0.1").out


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_width(finished, call, monkeypatch, width):
    monkeypatch.setattr("negmine.cli.console._FILE_COLUMNS", width)
    lines = call("sweep", "--over", "relative_margin=0:0.4:0.1").out.splitlines()
    assert max(len(line) for line in lines) <= width


def test_no_number_is_cut_where_there_is_little_room(project, call, monkeypatch):
    """Columns are left out; where that does not suffice, lines are longer than the terminal."""
    several_positives(project)
    call("run", "-q")
    over = ("--over", "relative_positive_similarity=1,2", "--over", "near_duplicates.jaccard=0.25,0.5")

    def tables() -> list[list[str]]:
        lines = call("sweep", *over).out.splitlines()
        return [re.split(" {2,}", line.strip()) for line in lines]

    wide = [set(row) for row in tables()]
    monkeypatch.setattr("negmine.cli.console._FILE_COLUMNS", 40)
    narrow = [set(row) for row in tables()]
    rows = [n for n in range(len(wide)) if not any(cell.startswith("─") for cell in wide[n])]
    assert all(narrow[n] <= wide[n] for n in rows)
    assert {"relative_positive_similarity", "near_duplicates.jaccard", "risk"} <= narrow[2] < wide[2]


def test_it_needs_mine_and_not_filter(project, call):
    assert call("mine", "--with-upstream", "-q").code == 0
    assert call("sweep", "-q").code == 0


def test_nothing_is_changed(finished, call):
    before = tree(finished)
    call("sweep", "--over", "relative_margin=0,0.5", "--over", "num_negatives=1,3")
    assert tree(finished) == before


def test_another_command_may_hold_the_lock(finished, call):
    from negmine.store.lock import writing

    with writing(finished / "work"):
        assert call("sweep").code == 0


def test_a_stale_mine_is_warned_of(finished, call):
    result = call("sweep", "--set", "mine.k=4")
    assert (result.code, "mine is stale" in result.err) == (0, True)
    assert call("sweep", "-c", "negmine.yaml").err == ""


def test_without_mine_there_is_nothing_to_sweep(project, call):
    result = call("sweep")
    assert (result.code, "mine has not finished" in result.err) == (5, True)


def test_candidates_of_an_earlier_ingest_are_refused(finished, call):
    text = (finished / "corpus.jsonl").read_text("utf-8").replace("passage 7", "another text")
    (finished / "corpus.jsonl").write_text(text, "utf-8")
    assert call("ingest", "-q").code == 0
    result = call("sweep")
    assert (result.code, "earlier ingest" in result.err) == (5, True)


def test_a_damaged_part_is_refused(finished, call):
    (finished / "work" / "mine" / "part-00000.parquet").write_bytes(b"")
    assert call("sweep").code == 5


@pytest.mark.parametrize(
    ("over", "code", "message"),
    [
        ("relative_margn=0.1", 2, "Did you mean 'relative_margin'?"),
        ("mine.k=3", 2, "there is no key 'filter.mine.k'"),
        ("sampling_strategy=1", 2, "filter.sampling_strategy holds no single number"),
        ("exclude_same=1", 2, "filter.exclude_same holds no single number"),
        ("risk=0.1", 2, "filter.risk holds no single number"),
        ("risk.weights=1", 2, "filter.risk.weights holds no single number"),
        ("relative_margin", 2, "expected KEY=VALUES"),
        ("relative_margin=", 2, "expected KEY=VALUES"),
        ("=0.1", 2, "expected KEY=VALUES"),
        ("relative_margin=0,x", 2, "'x' is no number"),
        ("relative_margin=0,", 2, "'' is no number"),
        ("relative_margin=nan", 2, "'nan' is no number"),
        ("relative_margin=inf", 2, "'inf' is no number"),
        ("relative_margin=1e999", 2, "'1e999' is no number"),
        ("relative_margin=0:1", 2, "'0:1' has 2 parts"),
        ("relative_margin=0:1:0.1:2", 2, "has 4 parts"),
        ("relative_margin=0.3:0:0.1", 2, "there is nothing from 0.3 up to 0"),
        ("relative_margin=0:0.3:0", 2, "in steps of 0"),
        ("relative_margin=0:0.3:-0.1", 2, "in steps of -0.1"),
        ("relative_margin=0:0.9:0.0001", 2, "the grid has 9,001 points"),
        ("num_negatives=1.5", 2, "filter.num_negatives takes whole numbers"),
        ("num_negatives=0", 3, "filter.num_negatives"),
        ("num_negatives=500", 3, "filter.num_negatives"),
        ("relative_margin=1", 3, "filter.relative_margin"),
        ("risk.max=2", 3, "filter.risk.max"),
        ("leak_rate=0.1", 3, "filter.leak_rate"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(finished, call, over, code, message):
    result = call("sweep", "--over", over)
    assert (result.code, message in result.err, result.out) == (code, True, "")


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["max_score=1", "min_score=0", "range_min=1"], "--over is given 3 times"),
        (["max_score=1", "filter.max_score=2"], "names filter.max_score twice"),
        (["max_score=0:1:0.01", "min_score=0:1:0.01"], "the grid has 10,201 points"),
    ],
)
def test_keys_that_make_no_sense_together_are_refused(finished, call, over, message):
    result = call("sweep", *[word for text in over for word in ("--over", text)])
    assert (result.code, message in result.err) == (2, True)


def test_steps_are_exact_and_inclusive(project):
    config = load_config(project / "negmine.yaml")
    (axis,) = axes(config, ["relative_margin=0:0.3:0.1, 0.25, 0.1"])
    assert axis.values == (0.0, 0.1, 0.2, 0.25, 0.3)


def test_every_number_of_filter_can_be_swept():
    assert {"filter.risk.max", "filter.near_duplicates.cosine", "filter.max_reuse"} <= set(numeric_keys())
    assert "filter.exclude_same" not in numeric_keys()
    assert (numeric_keys()["filter.range_min"], numeric_keys()["filter.min_score"]) == (int, float)


@pytest.mark.parametrize(("name", "begins"), [("a.png", PNG), ("b.SVG", SVG)])
@pytest.mark.parametrize("over", [["relative_margin=0,0.2"], ["relative_margin=0,0.2", "num_negatives=1,2,3"]])
@pytest.mark.parametrize("labels", [1, 2])
def test_a_figure_is_drawn(project, call, name, begins, over, labels):
    pytest.importorskip("matplotlib")
    if labels == 2:
        several_positives(project)
    call("run", "-q")
    result = call("sweep", "--plot", name, *[word for text in over for word in ("--over", text)])
    assert (result.code, f"figure: {name}" in result.err) == (0, True)
    assert (project / name).read_bytes().startswith(begins)


def test_a_figure_is_the_same_twice(finished, call):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        call("sweep", "--plot", name)
    assert (finished / "a.svg").read_bytes() == (finished / "b.svg").read_bytes()


def test_a_figure_names_what_it_shows(finished, call, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")  # texts stay texts
    call("sweep", "--plot", "a.svg", "--over", "num_negatives=1,2,3")
    words = re.sub("<[^>]*>", " ", (finished / "a.svg").read_text("utf-8"))
    for text in ("filter.num_negatives", "Yield", "Hardness", "Predicted false negatives", "your config: 2", "6 quer"):
        assert text in words


def test_a_map_of_equal_shares_has_no_share_above_100(finished, call, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    call("sweep", "--plot", "a.svg", "--over", "min_score=-9,-8", "--over", "max_score=8,9")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", (finished / "a.svg").read_text("utf-8"))
    numbers = [float(word.replace("\u2212", "-")) for word in words if re.fullmatch(r"[\u2212-]?[\d.]+", word)]
    assert 100.0 in numbers
    assert max(numbers) == 100.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.pdf", "ends with .png or .svg"),
        ("a", "ends with .png or .svg"),
        ("missing/a.png", "there is no folder missing"),
        ("folder.png", "this is a folder"),
    ],
)
def test_a_figure_that_cannot_be_written_is_refused_before_work(project, call, name, message):
    (project / "folder.png").mkdir()
    result = call("sweep", "--plot", name)
    assert (result.code, message in result.err) == (2, True)


def test_a_folder_without_permission_is_refused(project, call, monkeypatch):
    monkeypatch.setattr("negmine.figures.os.access", lambda path, mode: False)
    result = call("sweep", "--plot", "a.png")
    assert (result.code, "cannot be written" in result.err) == (2, True)


def test_a_figure_without_matplotlib_names_the_extra(finished, call, monkeypatch):
    monkeypatch.setattr("negmine.figures.importlib.util.find_spec", lambda name: None)
    result = call("sweep", "--plot", "a.png")
    assert (result.code, "pip install 'negmine[plot]'" in result.err) == (8, True)
    assert not (finished / "a.png").exists()
