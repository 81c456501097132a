"""report: where the page goes, what is said about it, and what is refused."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.fixture(autouse=True)
def undrawn(monkeypatch, request):
    """Plots are drawn once only: they take the most time of a small page."""
    if request.function.__name__ != "test_it_is_written_into_the_run":
        from negmine.report.plots import Plot

        for name, plots in (("score_plot", 0), ("margin_plot", 0), ("sweep_plots", 3)):
            plot = Plot("<svg></svg>", "")
            monkeypatch.setattr(f"negmine.report.page.{name}", lambda *_, n=plots, p=plot: [p] * n if n else p)


def test_it_is_written_into_the_run(finished, call):
    path = finished / "work" / "report.html"
    shown = call("report")
    assert (shown.code, shown.out) == (0, f"{path} ({path.stat().st_size / 1000:.1f} kB, 6 of 6 queries)\n")
    assert "warning" not in shown.err


def test_json_says_what_was_written(finished, call):
    shown = call("report", "--json", "-o", "page.html", "--queries", "2")
    path = finished / "page.html"
    assert shown.json == {
        "report": str(path),
        "bytes": path.stat().st_size,
        "queries": shown.json["queries"],
        "queries_of_run": 6,
        "stages": dict.fromkeys(("ingest", "embed", "index", "mine", "filter", "export"), "current"),
        "missing": {},
        "opened": False,
    }
    assert not (finished / "work" / "report.html").exists()


def test_quiet_prints_nothing(finished, call):
    shown = call("report", "-q")
    assert (shown.code, shown.out, shown.err) == (0, "", "")


@pytest.mark.parametrize("can", [True, False])
def test_open_starts_the_browser(finished, call, monkeypatch, can):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda url: asked.append(url) or can)
    shown = call("report", "--open", "--json")
    assert asked == [(finished / "work" / "report.html").as_uri()]
    assert shown.json["opened"] is can
    assert ("no browser could be started" in shown.err) is not can


def test_a_stale_run_is_warned_of(finished, call):
    shown = call("report", "--set", "filter.num_negatives=1")
    assert shown.code == 0
    assert "warning: filter, export: stale; the page says so where it matters\n" in shown.err


def test_missing_parts_are_named(project, call):
    assert call("run", "-q").code == 0
    assert call("mine", "-q", "--set", "mine.k=3").code == 0
    shown = call("report", "--set", "mine.k=3")
    assert shown.code == 0
    why = "filter was made from an earlier mine than the one that is there. Run: negmine run -c CONFIG"
    assert f"warning: not on the page (scores, hubs, shortage, queries): {why}\n" in shown.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page.txt", "page.txt: the name of a report ends with .html or .htm."),
        ("gone/page.html", "gone/page.html: there is no folder gone."),
        ("folder.html", "folder.html: this is a folder."),
        ("s3://bucket/page.html", "s3://bucket/page.html: a report is written to a file of this machine."),
    ],
)
def test_a_place_that_cannot_be_written_to_is_refused(finished, call, name, message):
    (finished / "folder.html").mkdir()
    shown = call("report", "-c", "negmine.yaml", f"--output={name}")
    assert shown.code == 2
    assert shown.err.startswith(f"error: {message[:-1]}")
    assert shown.err.count("\n") == 1


def test_without_a_run_it_says_what_to_do(project, call):
    shown = call("report", "-c", "negmine.yaml")
    assert shown.code == 2
    assert shown.err == f"error: there is no run in {project / 'work'}. Run: negmine run -c negmine.yaml\n"
    (project / "work").mkdir()
    assert call("report").code == 5


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_package_names_the_extra(finished, call, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "negmine.report.writing.importlib.util.find_spec", lambda name: None if name == missing else real(name)
    )
    shown = call("report")
    assert shown.code == 8
    assert "Run: pip install 'negmine[report]'" in shown.err
    assert not (finished / "work" / "report.html").exists()


def test_the_page_of_a_run_at_a_url_goes_into_this_folder(project, call, monkeypatch):
    pytest.importorskip("fsspec")
    monkeypatch.setenv("NEGMINE_CACHE_DIR", str(project / "cache"))
    store = ("--set", "work_dir=memory://reports/run")
    assert call("run", "-q", *store).code == 0
    shown = call("report", "--json", *store)
    assert shown.json["report"] == str(project / "report.html")
    assert shown.json["missing"] == {}
    assert "memory://reports/run" in (project / "report.html").read_text("utf-8")
