"""What holds for all tests: none of them touches the user's cache of measurements."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this session, also for processes that tests start; models stay where they are."""
    folder = tmp_path_factory.mktemp("cache")
    models = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    with pytest.MonkeyPatch.context() as patch:
        if "HF_HOME" not in os.environ:
            patch.setenv("HF_HOME", str(models))
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def languages_loaded_once() -> Iterator[None]:
    """Every ingest loads the model that tells languages, and gives it up again: tests keep it."""
    from negmine.stages.ingest import languages

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(languages, "load_identifier", functools.cache(languages.load_identifier))
        yield
