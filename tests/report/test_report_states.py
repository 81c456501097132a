"""A page of a run that is not what its config asks for: nothing old is told without saying so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from report_run import config, make

import negmine
from negmine.errors import ArtifactError
from negmine.report.collecting import collected

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The finished run, to change."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def rules(**more):  # type: ignore[no-untyped-def]
    """The filter section with some keys changed."""
    return {"filter": {"num_negatives": 3, "risk": {"max": 0.3}, "relative_margin": 0.1, **more}}


def section(path: Path, name: str) -> str:
    """The text of one section of a page."""
    found = re.search(rf'<section id="{name}".*?</section>', path.read_text("utf-8"), re.S)
    assert found
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found[0]))


def test_a_current_run_has_no_notices(page: Path) -> None:
    """A page of a run that is as its config says warns of nothing."""
    text = page.read_text("utf-8")
    assert 'role="note"' not in text.replace('<noscript><div class="gap"', "")
    assert "Not current" not in text


def test_a_stale_filter_is_told_wherever_its_numbers_are(copy: Path, tmp_path: Path) -> None:
    """With another margin the verdicts are old: their sections say so and why; data and candidates are not touched."""
    changed = config(copy, **rules(relative_margin=0.2))
    written = negmine.write_report(changed, tmp_path / "r.html")
    assert written.stages["filter"] == written.stages["export"] == "stale"
    assert written.missing == {}
    why = "filter is stale (filter.relative_margin changed: 0.1 -&gt; 0.2): this is the run as it was."
    for name in ("candidates", "scores", "hubs", "short", "labels", "queries"):
        assert why in section(written.path, name), name
    for name in ("data", "search-quality", "thresholds"):
        assert "Not current" not in section(written.path, name), name
    head = written.path.read_text("utf-8").split("<nav")[0]
    assert "filter, export: stale" in head
    assert "changed: 0.2" in section(written.path, "provenance")


def test_numbers_of_a_stale_run_are_its_own(copy: Path) -> None:
    """What is told of a stale filter is what it did, not what the config would do now."""
    before, after = collected(config(copy), None), collected(config(copy, **rules(num_negatives=5)), None)
    assert after.shortage == type(after.shortage)(before.shortage.value, "", after.shortage.notices)
    assert after.shortage.value.wanted == 3
    assert after.sweep.value.current.num_negatives == 5
    assert after.provenance.recipe == ()


def test_a_run_until_mine_shows_what_there_is(tmp_path: Path) -> None:
    """Without verdicts, data and thresholds are there; the rest says what to run."""
    make(tmp_path)
    negmine.run(config(tmp_path), until="mine")
    written = negmine.write_report(config(tmp_path))
    assert written.path == tmp_path / "run" / "report.html"
    assert set(written.missing) == {"verdicts", "pairs", "scores", "hubs", "shortage", "queries"}
    assert "filter has not finished in this run. Run: negmine run" in section(written.path, "candidates")
    assert "yield" in section(written.path, "thresholds")
    assert "60" in section(written.path, "data")
    assert written.queries == 0


def test_a_run_of_ingest_alone_makes_a_page(tmp_path: Path) -> None:
    """The first stage suffices."""
    make(tmp_path)
    negmine.run(config(tmp_path), until="ingest")
    written = negmine.write_report(config(tmp_path))
    assert {"sweep", "recall", "verdicts"} <= set(written.missing)
    assert written.stages["mine"] == "missing"


def test_nothing_to_report_is_an_error(tmp_path: Path) -> None:
    """A folder in which no stage has finished has no page."""
    make(tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(ArtifactError, match="ingest has not finished in this run"):
        negmine.write_report(config(tmp_path))
    assert list((tmp_path / "run").glob("*.html")) == []


def test_verdicts_of_an_earlier_mine_are_not_mixed_with_it(copy: Path) -> None:
    """When mine was made again, the verdicts are about other candidates: their queries are not shown."""
    negmine.run(config(copy, mine={"k": 5}), until="mine")
    written = negmine.write_report(config(copy, mine={"k": 5}))
    assert set(written.missing) == {"scores", "hubs", "shortage", "queries"}
    assert "filter was made from an earlier mine" in section(written.path, "queries")
    assert "filter is stale" in section(written.path, "candidates")
    assert 'id="run-data"' not in written.path.read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "parts"), [("part-00000", {"scores", "hubs", "shortage", "queries"}), ("report", {"verdicts"})]
)
def test_damaged_files_are_not_read(copy: Path, name: str, parts: set[str]) -> None:
    """A file that is not what was written is named, and nothing is told from it."""
    (path,) = (copy / "run" / "filter").glob(f"{name}.*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    written = negmine.write_report(config(copy))
    assert set(written.missing) == parts
    assert written.stages["filter"] == "damaged"
    assert all(path.name in why for why in written.missing.values())


def test_a_damaged_manifest_is_told(copy: Path) -> None:
    """Then nothing of the stage is known."""
    path = copy / "run" / "filter" / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"negatives"', '"positives"', 1), "utf-8")
    written = negmine.write_report(config(copy))
    assert written.stages["filter"] == "damaged"
    assert "filter is damaged" in section(written.path, "queries")


def test_a_changed_input_is_told(copy: Path) -> None:
    """New data make everything stale."""
    with (copy / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"_id": "new", "text": "one more"}) + "\n")
    written = negmine.write_report(config(copy))
    assert set(written.stages.values()) == {"stale"}
    assert "data.corpus" in section(written.path, "data")
    assert "Not current" in section(written.path, "search-quality")


def test_the_model_of_other_vectors_is_not_named(copy: Path) -> None:
    """When embed is stale, the config's model is not that of the run."""
    changed = config(copy, embed={"model": "another/model"})
    assert collected(changed, None).provenance.model is None
    assert collected(config(copy), None).provenance.model == "ready-made vectors"
