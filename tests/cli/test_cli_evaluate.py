"""evaluate: a table, sentences that say better, worse or no different, and errors before long work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluation"))
from planted import make_run

SMALL = {"seeds": 1, "steps": 8, "checkpoints": 1, "learning_rates": [0.01]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    config = make_run(folder, queries=180, evaluate=SMALL)
    with (folder / "negmine.yaml").open("w") as file:
        YAML().dump(config.model_dump(mode="json", exclude_none=True, exclude_defaults=True), file)
    return folder


@pytest.fixture
def planted(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run, which is the current one."""
    monkeypatch.chdir(made)
    return made


def test_it_says_what_was_found(planted, call):
    """Sizes of the sides, a row per arm, a sentence per comparison; progress is told beside it."""
    done = call("evaluate")
    assert done.code == 0
    assert "adapter: 9" in done.out
    assert "among 360 passages; 1 seeds, 8 steps each" in done.out
    for arm in ("untrained", "in_batch", "random", "naive", "peer", "run"):
        assert f"\n{arm} " in done.out
    sentences = [line for line in done.out.splitlines() if line.startswith("This run's negatives:")]
    assert len(sentences) == 4
    assert "evaluate: started (5 trainings, " in done.err
    assert "evaluate: done in" in done.err


def test_json_is_the_result_that_is_kept(planted, call):
    """One object on stdout, with the options that were given."""
    found = call("evaluate", "--judged", "qrels.tsv", "--arms", "in_batch,run,oracle", "--seeds", "2", "--json").json
    assert [arm["arm"] for arm in found["arms"]] == ["in_batch", "run", "oracle"]
    assert found["judged"] is True
    assert found["seeds"] == 2
    assert {row["verdict"] for row in found["comparisons"]} <= {"better", "no different", "worse"}
    assert all(row["sentence"].endswith(").") for row in found["comparisons"])


def test_a_changed_filter_is_told(planted, call):
    """The negatives are those of the run as it was."""
    done = call("evaluate", "--arms", "in_batch,run", "--set", "filter.num_negatives=1")
    assert "warning: filter is stale (filter.num_negatives changed: 3 -> 1)" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--student", "tiny"), 3, "evaluate.student: expected one of adapter, static, full"),
        (("--student", "static"), 3, "static starts from a model, and embed.model is not set"),
        (("--arms", "in_batch,nayve"), 3, "Did you mean 'naive'"),
        (("--arms", "run,run"), 3, "evaluate.arms: names the same thing twice"),
        (("--judged", "missing.tsv"), 4, "missing.tsv"),
        (("--seeds", "0"), 3, "evaluate.seeds: must be at least 1"),
        (("--set", "work_dir=nothing"), 5, "filter has not finished in this run"),
        (
            ("--set", "evaluate={student: full, model: 'package://no_such_package/m'}"),
            8,
            "'no_such_package' of evaluate.model",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(planted, call, words, code, said):
    """With the key, the file or the package, and no traceback."""
    done = call("evaluate", *words)
    assert done.code == code
    lines = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert said in lines[0]


def test_without_the_measures_it_says_what_to_install(planted, call, monkeypatch):
    """Before anything is trained, with exit code 8."""
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    done = call("evaluate")
    assert done.code == 8
    assert "pip install 'negmine[evaluate]'" in done.err
