"""Students that start from a model, in an evaluation of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from planted import config_of

sys.path.insert(0, str(Path(__file__).parents[1] / "encoders"))
from tiny_models import save_bert, save_static

from negmine.config import Config
from negmine.evaluation import evaluate, experiment_of

PLAN = {"seeds": 1, "steps": 2, "checkpoints": 1, "batch_size": 8, "arms": ["in_batch", "run"]}


def with_student(config: Config, **section: object) -> Config:
    return config_of(Path(config.work_dir).parent, evaluate={**PLAN, **section})


def test_a_static_student_is_evaluated(config: Config, tmp_path: Path) -> None:
    """It starts from the named model; another model is another start, whatever was kept."""
    values = []
    for seed in (1, 2):
        folder = save_static(tmp_path / f"model-{seed}", seed=seed)
        found = evaluate(with_student(config, student="static", model=str(folder), learning_rates=[0.01]))
        assert found.student == "static"
        assert [arm.steps for arm in found.arms]
        values.append(found.untrained["recall@100"])
    assert values[0] != values[1]
    kept = list((Path(config.work_dir) / "evaluate" / "trained").iterdir())
    assert len(kept) == 4


def test_a_transformer_lends_its_token_table(config: Config, tmp_path: Path) -> None:
    """A static student of a transformer has the width of its embeddings, and says what it is made from."""
    folder = save_bert(tmp_path / "bert")
    with experiment_of(with_student(config, student="static", model=str(folder))) as experiment:
        assert experiment.student.untrained().passages(np.arange(5)).shape == (5, 32)
        assert set(experiment.student.identity()) == {"weights"}


@pytest.mark.slow
def test_a_whole_model_is_evaluated(config: Config, tmp_path: Path) -> None:
    """The trainer gets the run's texts, and its arguments decide what is kept."""
    folder = save_bert(tmp_path / "bert")
    section = with_student(config, student="full", model=str(folder), learning_rates=[0.001])
    found = evaluate(section)
    assert found.student == "full"
    assert [arm.arm for arm in found.arms] == ["in_batch", "run"]
    again = config_of(
        Path(config.work_dir).parent,
        evaluate={**section.evaluate.model_dump(mode="json")},
        train={"arguments": {"weight_decay": 0.5}},
    )
    keys = set()
    for each in (section, again):
        with experiment_of(each) as experiment:
            keys.add(experiment.key)
    assert len(keys) == 2
