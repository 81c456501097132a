"""A small run without a real model, and the command line in this process."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from topics import CONFIG, TopicEncoder, model, write_data

from negmine.config import Config, load_config
from negmine.pipeline import run
from negmine.stages.embed import stage as embed

# Two files are called conftest: that of the command line goes by another name here.
_spec: Any = importlib.util.spec_from_file_location("cli_fixtures", Path(__file__).parents[1] / "cli" / "conftest.py")
_fixtures = sys.modules["cli_fixtures"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
call = _fixtures.call


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, ``negmine.yaml``, two models, and the finished run of the first."""
    folder = tmp_path_factory.mktemp("rounds")
    write_data(folder)
    model(folder / "models" / "old", 1.5)
    model(folder / "models" / "new", 0.3)
    (folder / "negmine.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        _pretend(patch)
        run(load_config(folder / "negmine.yaml"))
    return folder


@pytest.fixture
def mined(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    shutil.copytree(template, tmp_path / "run")
    _pretend(monkeypatch)
    monkeypatch.setattr(TopicEncoder, "encoded", 0)
    monkeypatch.chdir(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def project(mined: Path) -> Path:
    """The same before its run."""
    shutil.rmtree(mined / "work")
    return mined


def _pretend(patch: pytest.MonkeyPatch) -> None:
    def load(config: Config) -> TopicEncoder:
        return TopicEncoder(json.loads((Path(str(config.embed.model)) / "config.json").read_text())["noise"])

    patch.setattr(embed, "load_encoder", load)
    patch.setattr(embed.EmbedStage, "check", lambda self, config, counts: None)
