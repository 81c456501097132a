"""status, plan and clean: what a run is, would be, and has left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from negmine import load_config
from negmine.planning import plan


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, but for what remembers digests."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and ".cache" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def states(shown):
    return {stage["stage"]: stage["state"] for stage in shown.json["stages"]}


def test_status_of_what_never_ran_is_missing(project, call):
    assert set(states(call("status", "--json")).values()) == {"missing"}


def test_status_of_a_finished_run_is_current(finished, call):
    assert set(states(call("status", "--json")).values()) == {"current"}


def test_status_says_what_a_change_makes_stale(finished, call):
    found = states(call("status", "--json", "--set", "mine.k=4"))
    assert [name for name, state in found.items() if state == "stale"] == ["mine", "filter", "export"]


def test_status_reports_damage(finished, call):
    (finished / "work" / "mine" / "part-00000.parquet").unlink()
    assert states(call("status", "--json"))["mine"] == "damaged"


def test_status_makes_no_work_dir(project, call):
    call("status")
    assert not (project / "work").exists()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_the_terminal(finished, call, monkeypatch, width):
    monkeypatch.setattr("negmine.cli.console._FILE_COLUMNS", width)
    lines = [line for command in ("run", "plan", "status") for line in call(command).out.splitlines()]
    assert max(len(line) for line in lines if "/" not in line or "current" in line) <= width


def test_tables_have_no_spaces_at_line_ends(finished, call):
    lines = call("status").out.splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_plan_changes_nothing(project, call):
    before = tree(project)
    call("plan")
    assert tree(project) == before


def test_plan_of_a_changed_run_changes_nothing(finished, call):
    before = tree(finished)
    call("plan", "--set", "mine.k=4")
    assert tree(finished) == before


@pytest.mark.parametrize("given", [[], ["--set", "filter.max_reuse=2"]])
def test_plan_lists_every_task_that_run_runs(project, call, given):
    planned = {stage["stage"]: stage["tasks"] for stage in call("plan", "--json", *given).json["stages"]}
    ran = {stage["stage"]: stage["tasks_run"] for stage in call("run", "--json", *given).json["stages"]}
    assert planned == ran


def test_plan_before_ingest_says_that_counts_are_upper_bounds(project, call):
    assert call("plan", "--json").json["stages"][0]["why"] == "never run; counts are upper bounds"


def test_plan_of_a_finished_run_is_nothing(finished, call):
    assert call("plan").out.endswith("nothing to do: every stage is current\n")


def test_plan_ends_with_a_total(project, call):
    assert call("plan").out.splitlines()[-1].startswith("total: 12 tasks, about ")


def test_plan_counts_only_stages_that_would_run(finished, call):
    stages = call("plan", "--json", "--set", "filter.num_negatives=1").json["stages"]
    assert [s["stage"] for s in stages if s["tasks"]] == ["filter", "export"]


def test_plan_knows_the_size_of_vectors(project):
    embed = plan(load_config(project / "negmine.yaml"))[1]
    assert embed.disk_bytes == (12 + 6) * 8 * 4


def test_plan_keeps_mine_inside_the_memory_limit(project):
    config = load_config(project / "negmine.yaml", ["memory_limit=64MB"])
    assert (plan(config)[3].memory_bytes or 0) <= 64e6 + 250e6


def test_plan_admits_what_it_does_not_know(project, call):
    shown = call("plan", "--json", "--set", "index.dense=HNSW8")
    assert shown.json["stages"][2]["seconds"] is None


def test_plan_of_bad_data_is_an_error(project, call):
    (project / "corpus.jsonl").unlink()
    assert call("plan").code == 4


def leftover(project):
    folder = project / "work" / ".pending" / "mine-0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "part-00000.parquet").write_bytes(b"x" * 10)
    return folder


def test_clean_removes_what_no_manifest_names(finished, call):
    folder = leftover(finished)
    assert call("clean", "--json").json == {"removed": [str(folder)], "found": [str(folder)], "bytes": 10}
    assert not folder.exists()


def test_clean_keeps_a_finished_run(finished, call):
    before = tree(finished / "work")
    assert call("clean").out == "0 items removed, 0 B\n"
    assert tree(finished / "work") == before


def test_clean_dry_run_only_lists(finished, call):
    folder = leftover(finished)
    assert call("clean", "--dry-run").out == f"{folder}\n1 item would be removed, 10 B\n"
    assert folder.exists()


def test_clean_before_any_run_finds_nothing(project, call):
    assert call("clean").out == "0 items removed, 0 B\n"
