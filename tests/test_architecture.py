"""The shape of the code: who may import whom, how long a file may be, what start-up loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "negmine"

# Rooms from the bottom up; a room may import those in rows below its own, and itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "text", "arrays"),
    ("web",),
    ("schemas", "config", "selection", "retrieval", "encoders", "scoring"),
    ("store", "readers", "writers", "training"),
    ("remote",),
    ("labelling",),
    ("stages",),
    ("executors", "figures"),
    ("pipeline", "planning", "results", "explain", "sweep"),
    ("evaluation",),
    ("starter", "report", "quality", "comparing"),
    ("checks", "rounds"),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# Rooms of one row that may look at each other, with why.
NEIGHBOURS = {
    ("planning", "pipeline"): "a plan starts from the states of the stages",
    ("scoring", "encoders"): "a cross-encoder is checked, loaded and batched as an embedding model is",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "negmine" else [f"negmine.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("negmine.")}
    return rooms


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    for other in imported_rooms(path) - {room}:
        if other == "__version__":
            continue
        allowed = LEVEL[other] < LEVEL[room] or (room, other) in NEIGHBOURS
        assert allowed, f"{room} may not import {other}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").rglob("*.py")), ids=lambda path: path.name)
def test_stages_do_not_import_each_other(path: Path) -> None:
    """Stages meet through files; only the table of stages knows them all."""
    stages = {"ingest", "embed", "index", "mine", "filter", "export", "rerank", "judge"}
    own = path.relative_to(PACKAGE / "stages").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("negmine.stages."):
            assert node.module.split(".")[2] not in stages - {own}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_short(path: Path) -> None:
    """About 300 lines is what one can hold in mind."""
    assert len(path.read_text("utf-8").splitlines()) <= 330


def test_numerics_know_no_paths() -> None:
    for room in ("selection", "retrieval"):
        for path in (PACKAGE / room).glob("*.py"):
            assert "pathlib" not in path.read_text("utf-8"), path


def test_the_package_itself_loads_nothing_heavy() -> None:
    heavy = "torch sentence_transformers faiss pyarrow numpy pydantic"
    code = f"import sys, negmine; print([m for m in '{heavy}'.split() if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_pipeline_loads_no_model_event_loop_or_picture() -> None:
    """`status` needs it, and takes less than a second."""
    late = "torch sentence_transformers transformers matplotlib asyncio pandas"
    code = f"import sys, negmine.pipeline; print([m for m in '{late}'.split() if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
