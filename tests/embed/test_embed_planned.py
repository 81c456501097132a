"""A plan counts the texts that the embed stage will give to the model, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from negmine.planning import pace as paces
from negmine.planning import plan
from negmine.planning.pace import Pace

LOAD = 100.0
ONE_A_TEXT = Pace(load=LOAD, call=1.0, token=0.0, square=0.0, memory=5e8, batch=1.0)


@pytest.fixture(autouse=True)
def known_pace(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model that takes a second for each text; what is measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    found: list[str] = []
    monkeypatch.setattr(paces, "_measure", lambda *args: found.append("model") or ONE_A_TEXT)
    return found


def embed(data: Any, **sections: Any) -> Any:
    return plan(data.config(**sections))[1]


def test_all_texts_of_a_new_run_count(data: Any) -> None:
    data.write()
    step = embed(data)
    assert step.seconds == pytest.approx(LOAD + 62, abs=1)
    assert step.memory_bytes > 5e8


def test_only_new_texts_of_a_changed_corpus_count(data: Any) -> None:
    """The plan is made after ingest: only then it is known which texts are new."""
    import negmine

    data.run()
    data.corpus |= {f"new{i}": f"a new text {i}" for i in range(7)}
    data.write()
    negmine.run(data.config(), until="ingest")
    assert embed(data).seconds == pytest.approx(LOAD + 7, abs=1)


def test_texts_that_all_have_vectors_need_no_model(data: Any, known_pace: list[str]) -> None:
    import negmine

    data.run()
    known_pace.clear()
    for key in list(data.corpus)[20:30]:
        del data.corpus[key]
    data.write()
    negmine.run(data.config(), until="ingest")
    step = embed(data)
    assert step.state == "stale"
    assert step.seconds < 1
    assert known_pace == []


def test_a_setting_that_changes_vectors_counts_all_texts(data: Any) -> None:
    data.run()
    assert embed(data, normalize=False).seconds == pytest.approx(LOAD + 62, abs=1)


def test_a_finished_stage_loads_no_model(data: Any, known_pace: list[str]) -> None:
    data.run()
    plan(data.config(), calibrate=True)
    assert known_pace == []


def test_a_model_that_cannot_be_loaded_is_no_reason_to_fail(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from negmine.errors import InputError

    def fail(*args: object) -> Pace:
        raise InputError("no such device")

    data.write()
    monkeypatch.setattr(paces, "_measure", fail)
    assert embed(data).seconds is None


def test_a_measurement_of_a_real_model_is_kept(
    data: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, known_pace: list[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data.write()
    notes: list[str] = []
    first = plan(data.config(), note=notes.append)[1]
    assert "measuring the model" in notes
    assert first.seconds is not None
    assert first.seconds > 0
    again = plan(data.config(), note=pytest.fail)[1]
    assert again.seconds == first.seconds
