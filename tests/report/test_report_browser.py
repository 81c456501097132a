"""A person at the page: searches, filters, opens by mouse and keyboard, in the dark, on a phone; in Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from report_run import HOSTILE, NEGATIVES, ODD_ID, QUERIES, config

import negmine

pytestmark = pytest.mark.slow

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
FIRST = 50
"""Rows that the table shows at first."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; where it is missing, tests are skipped, but in CI they fail."""
    path = browser.find()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no Chromium. Run: make browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(browser.FLAGS))
        yield running
        running.close()


@pytest.fixture
def opened(chromium: Any, page: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page; at the end, it has asked the network for nothing and has not complained."""
    contexts, wrong = [], []

    def go(path: Path = page, viewport: dict[str, int] = DESK, scheme: str = "light", anchor: str = "") -> Any:
        context = chromium.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else 0)
        tab.goto(path.as_uri() + anchor)
        return tab

    yield go
    hacked = [context.pages[0].evaluate("window.hacked") for context in contexts]
    for context in contexts:
        context.close()
    assert wrong == []
    assert set(hacked) <= {None}


def rows(tab: Any) -> list[str]:
    """Ids of the queries in the table."""
    return tab.eval_on_selector_all("#rows tr.row", "lines => lines.map((line) => line.query.id)")


def sideways(tab: Any) -> int:
    """By how many pixels the page is wider than the window."""
    return tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def contrast(tab: Any, selector: str) -> float:
    """WCAG contrast of the words of an element with what is behind them."""
    one, other = tab.eval_on_selector(
        selector,
        """(node) => {
          const words = getComputedStyle(node).color;
          let behind = node;
          while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          return [words, getComputedStyle(behind).backgroundColor];
        }""",
    )
    light = sorted(map(_luminance, (one, other)))
    return (light[1] + 0.05) / (light[0] + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_opens_quickly(opened) -> None:
    """Rows are there in less than two seconds."""
    tab = opened()
    assert tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    assert len(rows(tab)) == FIRST
    assert tab.inner_text("#found") == f"{QUERIES} of {QUERIES} queries on this page"


def test_searching(opened) -> None:
    """Every word has to be in the text or id of a query; with passages, in theirs too. It may be in any script."""
    tab = opened()
    for words, ids in (("重置", ["q3"]), ("مرور تعيين", ["q2"]), ("EMOJI reset", ["q6"]), ("</SCRIPT>", ["q0"])):
        tab.fill("#search", words)
        assert rows(tab) == ids
    tab.fill("#search", "设置")
    assert rows(tab) == []
    assert tab.inner_text("#found") == f"0 of {QUERIES} queries on this page match"
    tab.check("#deep")
    assert "q3" in rows(tab)
    tab.fill("#search", "")
    assert len(rows(tab)) == FIRST


def test_filtering_and_ordering(opened, data_of, page) -> None:
    """Each choice shows the queries that it says, and each order is one."""
    tab, data = opened(), data_of(page)
    queries = {query["id"]: query for query in data["queries"]}
    names = [name for name, _ in data["reasons"]]
    short = {name for name, query in queries.items() if query["kept"] < NEGATIVES}
    tab.select_option("#show", "fewer")
    assert set(rows(tab)) == short
    tab.select_option("#show", "reason:risk")
    assert set(rows(tab)) == {
        name for name, query in queries.items() if "risk" in {names[code] for code, _ in query["counts"]}
    }
    tab.select_option("#show", "finding:low_rank")
    assert set(rows(tab)) == {n for n, query in queries.items() if any("low_rank" in p[3] for p in query["positives"])}
    tab.select_option("#show", "why:riskiest")
    assert set(rows(tab)) == {name for name, query in queries.items() if "riskiest" in query["why"]}
    tab.select_option("#show", "all")
    tab.select_option("#sort", "kept")
    kept = [queries[name]["kept"] for name in rows(tab)]
    assert kept == sorted(kept)
    tab.select_option("#sort", "risk")
    risks = [max((row[5] for row in queries[n]["candidates"] if row[6] is not None), default=-1) for n in rows(tab)]
    assert risks == sorted(risks, reverse=True)


def test_more_rows_are_shown_on_request(opened) -> None:
    """The button adds the next rows, goes when there are no more, and the focus goes on with them."""
    tab = opened()
    tab.click("#more")
    assert len(rows(tab)) == QUERIES
    assert not tab.is_visible("#more")
    assert tab.evaluate("document.activeElement.closest('tr').query.n") == FIRST


def test_opening_by_click(opened, data_of, page) -> None:
    """A click shows positives, negatives and dropped candidates with reasons, marked words and the texts as texts."""
    tab, query = opened(), data_of(page)["queries"][0]
    tab.click("#rows tr.row td >> nth=0")
    inside = tab.locator("#rows tr.opened")
    assert inside.locator(".item.positive").count() == len(query["positives"])
    assert inside.locator(".item.kept").count() == query["kept"]
    assert inside.locator(".item.dropped").count() == sum(row[6] is None for row in query["candidates"])
    assert HOSTILE in inside.inner_text()
    assert "end" not in inside.locator(".item.positive mark").all_inner_texts()
    assert {"page", "script"} <= set(inside.locator(".item.positive mark").all_inner_texts())
    tab.click("#rows tr.row button >> nth=0")
    assert tab.locator("#rows tr.opened").count() == 0


def test_opening_by_keyboard(opened) -> None:
    """``/`` goes to the search, Tab on to the table, arrows from query to query, Enter opens and closes."""
    tab = opened()
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"
    tab.keyboard.type("/")
    assert tab.input_value("#search") == "/"
    tab.fill("#search", "")
    visited = []
    for _ in range(4):
        tab.keyboard.press("Tab")
        visited.append(tab.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert visited == ["deep", "show", "sort", "BUTTON"]
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    button = tab.locator("#rows tr.row button").nth(2)
    assert button.get_attribute("aria-expanded") == "true"
    assert tab.locator("#rows tr.opened").count() == 1
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    tab.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "false"
    assert tab.locator("#rows tr.opened").count() == 0


def test_a_link_opens_its_query(opened) -> None:
    """Ids in the other parts lead to the query, whatever characters they are of, also through a filter."""
    tab = opened()
    tab.fill("#search", "nothing has this")
    tab.locator("#labels a", has_text=re.compile(r"^q\d+$")).first.click()
    (line,) = tab.query_selector_all("#rows tr.row:has(button[aria-expanded=true])")
    assert line.is_visible()
    from urllib.parse import quote

    other = opened(anchor=f"#q={quote(ODD_ID, safe='')}")
    expanded = other.eval_on_selector("#rows tr.row:has(button[aria-expanded=true])", "line => line.query.id")
    assert expanded == ODD_ID


def test_directions_follow_the_texts(opened) -> None:
    """Arabic and Hebrew are laid out from right to left, the rest of the page is not."""
    tab = opened()
    for query, direction in (("q2", "rtl"), ("q5", "rtl"), ("q3", "ltr"), ("q8", "ltr")):
        tab.fill("#search", query)
        tab.click("#rows tr.row button >> nth=0")
        found = tab.eval_on_selector("#rows .item.positive .text", "node => getComputedStyle(node).direction")
        assert found == direction
        tab.click("#rows tr.row button >> nth=0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_light_and_dark(opened, scheme) -> None:
    """Contrasts are at least 4.5 to 1, and the two schemes differ; plots take the page's colours."""
    tab = opened(scheme=scheme)
    tab.click("#rows tr.row button >> nth=0")
    for selector in ("body", ".muted", "nav a", ".state", "#rows button", ".item .text", ".facts", "mark", "code"):
        assert contrast(tab, selector) >= 4.5, selector
    behind = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (_luminance(behind) > 0.5) == (scheme == "light")
    words = tab.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert (_luminance(words) > 0.5) == (scheme == "dark")


def test_nothing_is_wider_than_a_phone(opened, folder, tmp_path) -> None:
    """At 390 pixels the page does not scroll sideways, with queries open, and with notices of a stale run."""
    tab = opened(viewport=PHONE)
    assert sideways(tab) <= 0
    for place in range(10):
        tab.locator("#rows tr.row button").nth(place).click()
    for summary in tab.locator("summary").all():
        summary.click()
    assert sideways(tab) <= 0
    stale = negmine.write_report(config(folder, filter={"num_negatives": 4, "exclude_same": []}), tmp_path / "s.html")
    assert sideways(opened(path=stale.path, viewport=PHONE)) <= 0


def test_plots_and_tables_are_told_in_words(opened) -> None:
    """Plots are images with a name, tables have headers, headings are in order, and names are there once."""
    tab = opened()
    assert tab.locator("figure svg[role=img]").count() == 5
    names = tab.eval_on_selector_all("figure svg", "all => all.map((svg) => svg.querySelector('title').textContent)")
    assert all(len(name) > 20 for name in names)
    assert tab.eval_on_selector_all("table", "all => all.every((table) => table.querySelector('th[scope]'))")
    ids = tab.eval_on_selector_all("[id]", "all => all.map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert tab.locator("label:not(:has(input, select))").count() == 0


def test_a_stale_page_says_so_on_top(opened, folder, tmp_path) -> None:
    """The first thing below the title is that the run is not the config's."""
    stale = negmine.write_report(config(folder, filter={"num_negatives": 4}), tmp_path / "s.html")
    tab = opened(path=stale.path)
    notice = tab.locator("header .notice").first
    assert "filter, export: stale" in notice.inner_text()
    assert notice.bounding_box()["y"] < 300


def test_it_prints(opened) -> None:
    """On paper there are no controls, and dark paper is white."""
    tab = opened(scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert not tab.is_visible("#controls")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.pdf()[:5] == b"%PDF-"
