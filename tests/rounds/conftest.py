"""A small run without a real model, and the command line in this process."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from topics import CONFIG, TopicEncoder, model, write_data

from negmine.config import Config
from negmine.stages.embed import stage as embed

# Two files are called conftest: that of the command line goes by another name here.
_spec: Any = importlib.util.spec_from_file_location("cli_fixtures", Path(__file__).parents[1] / "cli" / "conftest.py")
_fixtures = sys.modules["cli_fixtures"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
call = _fixtures.call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, ``negmine.yaml`` and two models, which is the current one."""
    write_data(tmp_path)
    model(tmp_path / "models" / "old", 1.5)
    model(tmp_path / "models" / "new", 0.3)
    (tmp_path / "negmine.yaml").write_text(CONFIG)

    def load(config: Config) -> TopicEncoder:
        return TopicEncoder(json.loads((Path(str(config.embed.model)) / "config.json").read_text())["noise"])

    monkeypatch.setattr(embed, "load_encoder", load)
    monkeypatch.setattr(embed.EmbedStage, "check", lambda self, config, counts: None)
    monkeypatch.setattr(TopicEncoder, "encoded", 0)
    monkeypatch.chdir(tmp_path)
    return tmp_path
