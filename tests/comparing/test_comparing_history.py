"""history: a line for every state that the negatives of a work_dir were in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fsspec
import pytest
from comparable_runs import Call, config_of, finished
from ruamel.yaml import YAML

import negmine
from negmine.comparing.past import past
from negmine.config import Config
from negmine.errors import ArtifactError, UsageError
from negmine.pipeline import running
from negmine.pipeline.recording import HISTORY, history
from negmine.remote.opening import open_run
from negmine.store.workdir import WorkDir


def saved(config: Config, path: Path) -> Path:
    """A config as the file of one."""
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(config.model_dump(mode="json", exclude_unset=True), file)
    return path


def with_filter(config: Config, **values: object) -> Config:
    return config.model_copy(update={"filter": config.filter.model_copy(update=values)})


def test_history_has_a_line_for_every_new_result(data: Path, tmp_path: Path) -> None:
    """Other settings add a line that says what changed; a run that has nothing to do, or is repaired, adds none."""
    config = config_of(data, tmp_path / "run")
    fewer = with_filter(config, num_negatives=2)
    for each in (config, config, fewer, config):
        negmine.run(each)
    (tmp_path / "run" / "export" / "train.jsonl").write_text("")
    negmine.run(config, repair=True)
    entries = past(config).entries
    assert [entry.figures["num_negatives"] for entry in entries] == [4, 2, 4]
    assert [entry.changes for entry in entries] == [
        (),
        ("filter.num_negatives changed: 4 -> 2",),
        ("filter.num_negatives changed: 2 -> 4",),
    ]
    assert entries[0].fingerprints == entries[2].fingerprints
    report = json.loads((tmp_path / "run" / "filter" / "report.json").read_text())
    assert entries[2].figures["yield"] == report["yield"]
    assert entries[2].figures["margin"] == report["margin"]["mean"]
    assert entries[2].figures["leak"]["rate"] == report["leak"]["rate"]
    assert (past(config).negatives, past(config).files) == (3, 3)


def test_history_tells_a_filter_without_its_export(data: Path, tmp_path: Path) -> None:
    """After ``filter`` alone, the negatives are of another entry than the training files."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config)
    negmine.run(with_filter(config, num_negatives=2), until="filter")
    found = past(config)
    assert [entry.stage for entry in found.entries] == ["export", "filter"]
    assert (found.negatives, found.files) == (2, 1)
    negmine.run(config, until="mine")
    assert len(past(config).entries) == 2


def test_history_is_completed_after_a_kill(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that dies between the export and its line is made up for by the next one."""
    config = config_of(data, tmp_path / "run")

    def die(*rest: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "record", die)
        with pytest.raises(KeyboardInterrupt):
            negmine.run(config)
    assert not (tmp_path / "run" / HISTORY).exists()
    result = negmine.run(config)
    assert {stage.state for stage in result.stages} == {"current"}
    (entry,) = past(config).entries
    assert entry.time == result.stages[-1].manifest.created


def test_history_leaves_no_half_of_a_line_behind(data: Path, tmp_path: Path) -> None:
    """What a command that was killed in the middle of a line had written is removed by the next one."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config)
    (tmp_path / "run" / ".tmp-1-0-history.jsonl").write_text("{")
    negmine.run(config)
    assert not list((tmp_path / "run").rglob(".tmp-*"))


def test_history_is_whole_or_as_it_was(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that cannot be written leaves the lines before it, and the next run adds it."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config)
    before = (tmp_path / "run" / HISTORY).read_bytes()

    def full(self: WorkDir, name: str, content: bytes) -> None:
        raise OSError(28, "No space left on device", name)

    with monkeypatch.context() as patch:
        patch.setattr(WorkDir, "write_beside", full)
        with pytest.raises(OSError, match="No space"):
            negmine.run(with_filter(config, num_negatives=1))
    assert (tmp_path / "run" / HISTORY).read_bytes() == before
    negmine.run(with_filter(config, num_negatives=1))
    assert (tmp_path / "run" / HISTORY).read_bytes().startswith(before)
    assert len(past(config).entries) == 2


def test_history_of_a_damaged_line(data: Path, tmp_path: Path) -> None:
    """A line that is no entry is named; runs go on and add theirs."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config)
    with (tmp_path / "run" / HISTORY).open("ab") as file:
        file.write(b'{"time": ')
    with pytest.raises(ArtifactError, match=r"history.jsonl:2: this line is no entry"):
        past(config)
    negmine.run(with_filter(config, num_negatives=1))
    lines = (tmp_path / "run" / HISTORY).read_bytes().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["figures"]["num_negatives"] == 1


def test_history_changes_no_file_of_a_stage(data: Path, plain: Path, tmp_path: Path) -> None:
    """Stages have the same files, whatever was run before."""
    other = finished(data, tmp_path / "run", {"num_negatives": 1})
    negmine.run(config_of(data, tmp_path / "run"))
    for stage in ("filter", "export"):
        digests = [
            {part["path"]: part["digest"] for part in json.loads((run / stage / "manifest.json").read_text())["parts"]}
            for run in (plain, other)
        ]
        assert digests[0] == digests[1]


def test_history_in_a_store(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run at a URL has its history there, which another machine reads and goes on with."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    config = config_of(data, "memory://shelf/run")
    for machine in ("first", "second"):
        monkeypatch.setenv("NEGMINE_CACHE_DIR", str(tmp_path / machine))
        negmine.run(config if machine == "first" else with_filter(config, num_negatives=2))
    assert len(files.cat_file("/shelf/run/history.jsonl").splitlines()) == 2
    assert past(config).entries[1].changes == ("filter.num_negatives changed: 4 -> 2",)
    assert past(config).of("memory://shelf/run/export") == 2
    assert negmine.compare("memory://shelf/run", config).churn.churn == 0
    files.store.clear()


def test_history_config_gives_the_same_run_again(data: Path, tmp_path: Path, call: Call) -> None:
    """The config of an entry, printed, leads to the fingerprints of that entry, in another folder too."""
    path = saved(config_of(data, tmp_path / "run", {"relative_margin": 0.05}), tmp_path / "negmine.yaml")
    assert call("run", "-q", "-c", path).code == 0
    assert call("run", "-q", "-c", path, "--set", "filter.num_negatives=2", "--set", "mine.k=12").code == 0
    printed = call("history", "-c", path, "--show-config", "2")
    assert (printed.code, printed.err) == (0, "")
    (tmp_path / "sub").mkdir()
    again = tmp_path / "sub" / "again.yaml"
    again.write_text(printed.out)
    assert call("run", "-q", "-c", again, "--set", f"work_dir={tmp_path / 'other'}").code == 0
    old, new = (history(WorkDir(tmp_path / name))[-1] for name in ("run", "other"))
    assert old.fingerprints == new.fingerprints
    assert call("history", "-c", path, "--show-config", "2", "--json").json["config"]["mine"] == {"k": 12}
    assert call("history", "-c", path, "--show-config", "3").code == 2


def test_history_config_has_what_was_a_default_then(data: Path, tmp_path: Path) -> None:
    """A key that was left to a default which this version does not have is written out."""
    from negmine.comparing.past import config_text
    from negmine.pipeline.recording import Entry

    config = config_of(data, tmp_path / "run")
    full = config.model_dump(mode="json")
    full["mine"]["part_queries"] = 17
    full["filter"]["reference"] = "max"
    given = config.model_dump(mode="json", exclude_unset=True)
    entry = Entry("then", "export", "0.0.1", {}, (), {}, {}, full, given)
    again = negmine.config_from_dict(YAML(typ="safe").load(config_text(entry, 1)))
    assert again.model_dump(mode="json") == full


def test_history_finds_where_an_export_came_from(data: Path, tmp_path: Path, call: Call) -> None:
    """A copy of the training files, and a published one, are found by their manifest; others are not."""
    place = {"publish": str(tmp_path / "published")}
    config = config_of(data, tmp_path / "run", more=place)
    path = saved(config, tmp_path / "negmine.yaml")
    negmine.run(config)
    shutil.copytree(tmp_path / "run" / "export", tmp_path / "copy")
    negmine.run(with_filter(config, num_negatives=1))
    assert past(config).of(str(tmp_path / "copy")) == 1
    assert past(config).of(str(tmp_path / "published" / "train.jsonl")) == 2
    shown = call("history", "-c", path, "--of", tmp_path / "copy", "--json")
    assert shown.json["entry"]["number"] == 1
    other = finished(data, tmp_path / "other", {"num_negatives": 3})
    with pytest.raises(UsageError, match="is of no entry"):
        past(config).of(str(other / "export"))
    with pytest.raises(UsageError, match="no training files with a manifest"):
        past(config).of(str(tmp_path))
    with pytest.raises(ArtifactError, match="manifest of filter"):
        past(config).of(str(tmp_path / "run" / "filter"))


def test_history_has_no_secrets(data: Path, tmp_path: Path) -> None:
    """Passwords and signatures in URLs are not written down."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config)
    _, work = open_run(config)
    manifests = {stage.stage: stage.manifest for stage in negmine.status(config) if stage.manifest}
    secret = config.model_copy(update={"publish": "https://user:hunter2@host/a?signature=abc123"})
    (tmp_path / "run" / HISTORY).unlink()
    with work.writing():
        running.record(work, secret, manifests)
    text = (tmp_path / "run" / HISTORY).read_text()
    assert "https://host/a" in text
    assert "hunter2" not in text
    assert "abc123" not in text


def test_history_tells_the_uplift_of_an_evaluation(data: Path, tmp_path: Path, call: Call) -> None:
    """What ``evaluate`` found stands beside the entries whose negatives it was about; a file that says otherwise is
    passed over."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config)
    filter_ = past(config).entries[0].fingerprints["filter"]
    comparison = {"arm": "run", "against": "in_batch", "effect": 0.0123, "interval": [0.001, 0.02], "verdict": "better"}
    result = {"student": "adapter", "comparisons": [comparison], "state": {"verdicts": {"fingerprint": filter_}}}
    (tmp_path / "run" / "evaluate").mkdir()
    (tmp_path / "run" / "evaluate" / "result.json").write_text(json.dumps(result))
    negmine.run(with_filter(config, num_negatives=2))
    found = past(config)
    assert {number: uplift.effect for number, uplift in found.uplift.items()} == {1: 0.0123}
    assert [row["uplift"] is None for row in found.as_json()["entries"]] == [False, True]
    path = saved(config, tmp_path / "negmine.yaml")
    assert "+0.0123 (better)" in call("history", "-c", path).out
    for other in ("{", "[]", json.dumps({**result, "comparisons": []})):
        (tmp_path / "run" / "evaluate" / "result.json").write_text(other)
        assert past(config).uplift == {}


def test_history_shows_a_table(data: Path, tmp_path: Path, call: Call) -> None:
    """Every entry has a row with its figures, and what changed stands below; --json has the same."""
    path = saved(config_of(data, tmp_path / "run"), tmp_path / "negmine.yaml")
    nothing = call("history", "-c", path)
    assert (nothing.code, nothing.out) == (0, "")
    assert "has no history yet" in nothing.err
    call("run", "-q", "-c", path)
    call("filter", "-q", "-c", path, "--set", "filter.num_negatives=2")
    shown = call("history", "-c", path)
    rows = shown.out.splitlines()
    assert rows[2].split()[0] == "1"
    assert "files" in rows[2]
    assert "negatives" in rows[3]
    assert rows[5].split(maxsplit=1) == ["2", "filter.num_negatives changed: 4 -> 2"]
    found = call("history", "-c", path, "--json").json
    assert [entry["number"] for entry in found["entries"]] == [1, 2]
    assert (found["negatives"], found["files"]) == (2, 1)
    assert call("history", "-c", path, "--of", "x", "--show-config", "1").code == 2
