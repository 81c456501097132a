"""run and the commands of single stages: what they do, print and refuse."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from negmine.cli import console as console_module
from negmine.cli.console import Console

STAGES = ["ingest", "embed", "index", "mine", "filter", "export"]


def test_json_is_the_only_thing_on_stdout(project, process):
    shown = process("run", "--json")
    assert shown.code == 0
    assert shown.out.count("\n") == 1
    assert list(shown.json) == ["stages", "exports", "published", "quality"]


def test_json_says_of_each_stage_what_was_done(project, call):
    stages = call("run", "--json").json["stages"]
    assert [stage["stage"] for stage in stages] == STAGES
    assert {"stage", "state", "why", "tasks", "tasks_run", "wall_seconds"} <= set(stages[0])


def test_json_names_the_exports(project, call):
    assert call("run", "--json").json["exports"] == [str(project / "work" / "export" / "train.jsonl")]


def test_a_second_run_does_nothing_and_says_why(finished, call):
    stages = call("run", "--json").json["stages"]
    assert {(s["state"], s["why"], s["tasks_run"]) for s in stages} == {("current", "nothing changed", 0)}


def test_a_changed_margin_runs_only_filter_and_export(finished, call):
    stages = call("run", "--json", "--set", "filter.relative_margin=0.9").json["stages"]
    assert [s["stage"] for s in stages if s["state"] == "done"] == ["filter", "export"]


def test_a_changed_key_is_named(finished, call):
    stages = call("run", "--json", "--set", "filter.relative_margin=0.9").json["stages"]
    assert stages[4]["why"] == "filter.relative_margin changed: null -> 0.9"


def labelled_twice(project, queries):
    """Make a run of ``queries`` queries with two positives each."""
    random = np.random.default_rng(1)
    vectors = random.standard_normal((3 * queries, 8)).astype(np.float32)
    np.save(project / "corpus.npy", vectors)
    np.save(project / "queries.npy", vectors[:queries] + vectors[queries : 2 * queries])
    corpus = [{"_id": f"d{i}", "text": f"passage {i}"} for i in range(3 * queries)]
    both = [[f"passage {i}", f"passage {i + queries}"] for i in range(queries)]
    pairs = [{"anchor": f"query {i}", "positive": both[i]} for i in range(queries)]
    for name, rows in (("corpus.jsonl", corpus), ("pairs.jsonl", pairs)):
        (project / name).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def filtered(project, call):
    """What the run's table says of filter, and its report."""
    (line,) = [line for line in call("run", "--set", "mine.k=50").out.splitlines() if line.startswith("filter ")]
    return line, json.loads((project / "work" / "filter" / "report.json").read_bytes())


def test_the_leak_is_shown(project, call):
    labelled_twice(project, 40)
    line, report = filtered(project, call)
    assert report["leak"]["queries"] == 40
    assert f"negatives, leak {report['leak']['rate']:.1%}" in line


def test_a_leak_of_few_queries_is_not_shown(project, call):
    labelled_twice(project, 20)
    line, report = filtered(project, call)
    assert (report["leak"]["queries"], "leak" in line) == (20, False)


def test_a_run_without_a_leak_shows_none(project, call):
    line = next(line for line in call("run").out.splitlines() if line.startswith("filter "))
    assert "leak" not in line


def test_results_go_to_stdout_and_progress_to_stderr(project, process):
    shown = process("run")
    assert "train.jsonl" in shown.out
    assert "ingest: started (never run)\ndata: pairs (pairs.jsonl has anchor, positive)\ningest: done in" in shown.err


def test_quiet_prints_nothing(project, process):
    shown = process("run", "-q")
    assert (shown.code, shown.out, shown.err) == (0, "", "")


def test_verbose_prints_versions_and_counts(project, call):
    shown = call("run", "-v")
    assert shown.err.startswith("negmine ")
    assert "ingest: corpus_rows 12" in shown.err


def test_json_log_lines_are_json(project, call):
    lines = call("run", "--log-format", "json").err.splitlines()
    assert {"time", "level", "message"} <= set(json.loads(lines[-1]))
    assert all(json.loads(line)["level"] == "info" for line in lines)


def test_long_work_reports_now_and_then_without_a_terminal(monkeypatch, capfd):
    monkeypatch.setattr(console_module, "_LOG_SECONDS", 0.01)
    reporter = Console().reporter()
    reporter.stage_started("embed", "never run")
    reporter.tasks_known("embed", "texts", 100, 0)
    reporter.advanced("embed", 25)
    time.sleep(0.1)
    reporter.close()
    assert "embed: 25 of 100 texts (25%), about" in capfd.readouterr().err


def test_a_stage_with_stale_earlier_stages_exits_2_and_names_the_command(finished, call):
    shown = call("export", "-c", "negmine.yaml", "--set", "mine.k=4")
    assert shown.code == 2
    assert "mine is stale" in shown.err
    assert "Run: negmine export --with-upstream -c negmine.yaml" in shown.err


def test_with_upstream_runs_earlier_stages_too(project, call):
    shown = call("mine", "--with-upstream", "--json")
    assert [s["stage"] for s in shown.json["stages"]] == STAGES[:4]


def test_a_stage_alone_runs_when_earlier_ones_are_current(finished, call):
    stages = call("filter", "--json", "--set", "filter.num_negatives=1").json["stages"]
    assert [s["stage"] for s in stages if s["tasks_run"]] == ["filter"]


def test_a_lock_that_is_held_exits_6(finished, call):
    with (finished / "work" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shown = call("run")
    assert shown.code == 6
    assert "another negmine command is writing to this run" in shown.err


def test_the_config_of_the_folder_is_used_and_named(project, call):
    assert call("run").err.startswith("config: negmine.yaml\n")


def test_no_config_exits_2_and_suggests_init(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    shown = call("run")
    assert shown.code == 2
    assert shown.err.endswith("or write one with: negmine init\n")


def test_a_config_error_exits_3_with_the_line(project, call):
    (project / "negmine.yaml").write_text("data: {pairs: pairs.jsonl}\nembed: {modle: x}\n", "utf-8")
    shown = call("run")
    assert shown.code == 3
    assert "negmine.yaml:2:9" in shown.err
    assert "  embed: {modle: x}\n" in shown.err


def test_bad_data_exits_4_with_its_place(project, call):
    (project / "pairs.jsonl").write_text('{"anchor": "a"}\n', "utf-8")
    shown = call("run")
    assert shown.code == 4
    assert "pairs.jsonl:1" in shown.err


def test_a_damaged_file_exits_5_and_says_how_to_rebuild_it(finished, call):
    (finished / "work" / "export" / "train.jsonl").write_text("x", "utf-8")
    shown = call("run")
    assert shown.code == 5
    assert "negmine export --repair" in shown.err


def test_a_missing_model_package_exits_8(project, call):
    shown = call("run", "--set", "embed.vectors=null", "--set", "embed.model=package://no_such_module/model")
    assert shown.code == 8
    assert "pip install no-such-module" in shown.err


def test_errors_leave_stdout_empty_with_json(project, call):
    shown = call("run", "--json", "--set", "nope=1")
    assert (shown.code, shown.out) == (3, "")


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_ends_with_its_code_and_one_line(project, number, word):
    """The process is stopped inside a stage that never ends by itself."""
    code = """
import sys, time
from negmine.stages.mine import MineStage
from negmine.cli.main import main
MineStage.execute = lambda *a: print("here", flush=True) or time.sleep(60)
main(["run", "-q"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(number)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert err == f"{word}: what was finished is kept, the same command continues\n"
