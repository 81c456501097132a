"""The documentation says what is true: it is generated, parsed, linked and run here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from ruamel.yaml import YAML

from negmine.cli.app import app
from negmine.config import all_keys, config_from_dict, load_config
from negmine.config.models import Config, ExportConfig
from negmine.errors import EXIT_CODES
from negmine.selection.verdicts import EXPLANATIONS, REASONS
from negmine.stages import STAGES
from negmine.writers import FORMATS

ROOT = Path(__file__).resolve().parents[2]
FILES = {path: path.read_text("utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
README = FILES[ROOT / "README.md"]
ALL = "\n".join(FILES.values())


def _prose(text: str) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


TEXT = _prose(ALL)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", ALL, re.MULTILINE | re.DOTALL)


def _commands() -> dict[str, Any]:

    return typer.main.get_command(app).commands


def _is_config(block: str) -> bool:
    return re.search(r"^data:", block, re.MULTILINE) is not None


def _slugs(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _lines() -> list[str]:
    """Every line in a code block that calls negmine."""
    found = []
    for language in ("sh", "yaml", "text"):
        for block in _blocks(language):
            for line in block.splitlines():
                if line.lstrip().startswith(("Usage:", "#")):
                    continue
                for call in re.finditer(
                    r"(?:^|[ /])(negmine [a-z]+ -.*?)(?= \|\|| &&|;|\s*>+| 2>|$)", line.split("  # ")[0]
                ):
                    found.append(re.split(r"\s{2,}", call[1])[0])  # examples in help have a comment beside them
    return found


def test_docs_generated_blocks_are_current() -> None:
    """The parts that the code knows are as the code says."""
    script = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_docs_every_command_has_help_and_a_section() -> None:
    """No command is undocumented, and no section is about a command that is gone."""
    commands = _commands()
    assert all(command.help for command in commands.values())
    assert set(re.findall(r"^## `negmine ([a-z-]+)`$", ALL, re.MULTILINE)) == set(commands)


def test_docs_every_option_has_help() -> None:
    """``--help`` explains each option and argument."""
    for name, command in _commands().items():
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_docs_names_every_config_key() -> None:
    """The config reference is complete."""
    keys = [key for key in all_keys() if key != "export"]
    keys += [f"export.N.{name}" for name in ExportConfig.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in ALL] == []


def test_docs_names_every_reason_and_exit_code() -> None:
    """A reason or an exit code that a user meets can be looked up."""
    assert set(EXPLANATIONS) == set(REASONS)
    assert [reason for reason in REASONS if f"| `{reason}` |" not in ALL] == []
    assert [code for code, _ in EXIT_CODES if f"| {code} |" not in ALL] == []


def test_docs_names_every_stage_and_format() -> None:
    """Every stage has a row in the table of stages, every format an example."""
    assert [stage for stage in STAGES if f"\n| `{stage}` |" not in ALL] == []
    assert [name for name in FORMATS if f"\n**{name}**:" not in ALL] == []


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_docs_links_lead_somewhere(file: Path) -> None:
    """Relative links name files that exist, and anchors name headings."""
    for target in re.findall(r"\]\(([^)]+)\)", _prose(FILES[file])):
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), target
        assert not anchor or anchor in _slugs(FILES[linked]), target


def test_docs_paths_exist() -> None:
    """Files of the repository that the text names are there."""
    named = re.findall(r"(?<![\w./-])(?:configs|docs|sample_data|tests|benchmarks)/[\w./-]*\w", ALL)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_docs_make_targets_exist() -> None:
    """``make`` knows what README asks it for."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = [line.split()[1] for line in README.splitlines() if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("block", [block for block in _blocks("yaml") if _is_config(block)])
def test_docs_configs_load(block: str, tmp_path: Path) -> None:
    """Every config is valid, or a part of one about data: with pairs and a model it is."""
    written = YAML(typ="safe").load(block)
    data = written["data"]
    written.setdefault("embed", {"model": "m"})
    if not data.keys() & {"pairs", "dataset", "path", "qrels"}:
        data["pairs"] = "pairs.jsonl"
    config = config_from_dict(written, tmp_path)
    for value in (config.data.pairs, config.data.path, config.data.qrels):
        for path in (value,) if isinstance(value, str) else value or ():
            assert "://" in path or path.startswith(str(tmp_path))


@pytest.mark.parametrize("rules", re.findall(r"\| `(\{[^`]*: [^`]*\})` \|$", TEXT, re.MULTILINE))
def test_docs_filter_recipes_load(rules: str, tmp_path: Path) -> None:
    """Every filter section of the table of recipes is valid."""
    path = tmp_path / "negmine.yaml"
    path.write_text(f"data: {{pairs: p.jsonl}}\nembed: {{model: m}}\nmine: {{k: 200}}\nfilter: {rules}\n", "utf-8")
    assert load_config(path).filter.risk is None


@pytest.mark.parametrize("rule", re.findall(r"^\| `(\w+: [^`]*)` \|", TEXT, re.MULTILINE))
def test_docs_filter_rules_load(rule: str, tmp_path: Path) -> None:
    """Every rule of the table of rules is valid."""
    path = tmp_path / "negmine.yaml"
    path.write_text(
        f"data: {{pairs: p, corpus: c, metadata: [doc]}}\nembed: {{model: m}}\nfilter: {{{rule}}}\n", "utf-8"
    )
    load_config(path)


def _others() -> list[dict[str, Any]]:
    return [YAML(typ="safe").load(block) for block in _blocks("yaml") if not _is_config(block)]


def _ci_job() -> dict[str, Any]:
    (job,) = (other for other in _others() if "jobs" in other)
    return job


def test_docs_other_yaml_is_a_ci_job_or_part_of_a_config() -> None:
    """Nothing in a YAML example is unknown."""
    assert list(_ci_job()) == ["name", "on", "jobs"]
    for part in _others():
        assert "jobs" in part or set(part) <= set(Config.model_fields)


@pytest.mark.parametrize("line", _lines())
def test_docs_command_lines_parse(line: str) -> None:
    """Every command line in a code block names a command and options that exist."""
    name, *arguments = shlex.split(line)[1:]
    _commands()[name].make_context(name, arguments)


def test_docs_shows_command_lines() -> None:
    """The command lines are found: without them the test above would be empty."""
    assert {"plan", "run"} <= {line.split()[1] for line in _lines()}


@pytest.mark.parametrize("call", sorted(set(re.findall(r"`(negmine [a-z]+[^`]*)`", TEXT))))
def test_docs_inline_commands_exist(call: str) -> None:
    """Commands and options that the text mentions exist."""
    name, *words = call.split()[1:]
    known = {option for parameter in _commands()[name].params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("block", _blocks("json"))
def test_docs_json_parses(block: str) -> None:
    """Every line of a JSON example is an object."""
    assert all(isinstance(json.loads(line), dict) for line in block.splitlines())


def test_docs_format_examples_have_the_columns_of_the_formats() -> None:
    """The example row of each format has the columns that the writer makes."""
    columns = {name: list(json.loads(_example(name))) for name in FORMATS if name != "trec-run"}
    assert columns == {
        "triplet": ["anchor", "positive", "negative"],
        "n-tuple": ["anchor", "positive", "negative_1", "negative_2"],
        "labeled-pair": ["anchor", "text", "label"],
        "labeled-list": ["anchor", "documents", "labels"],
        "margin-mse": ["anchor", "positive", "negative", "label"],
        "ids": ["query_id", "document_ids", "scores"],
        "flagembedding": ["query", "pos", "neg"],
        "tevatron": ["query_id", "query", "positive_passages", "negative_passages"],
        "tevatron-ids": ["query_id", "query_text", "positive_document_ids", "negative_document_ids"],
        "nemo": ["question_id", "question", "corpus_id", "pos_doc", "neg_doc"],
        "beir": ["qid", "pos", "neg"],
        "ms-swift": ["messages", "positive_messages", "negative_messages"],
    }


def test_docs_shell_of_the_ci_job_is_sound() -> None:
    """The scripts in the CI job have no syntax error."""
    scripts = [step["run"] for step in _ci_job()["jobs"]["mine"]["steps"] if "run" in step]
    assert len(scripts) == 3  # install, mine, check
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_docs_python_runs(tmp_path: Path) -> None:
    """The Python examples run, one after the other, on the example data with ready-made vectors."""
    _finished_runs(tmp_path)
    script = tmp_path / "examples.py"
    script.write_text("\n".join(_blocks("python")), "utf-8")
    environment = os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "'export': 'current'" in done.stdout
    written = pq.read_table(tmp_path / "corpus-vectors.parquet")
    assert written.column_names == ["doc_id", "vector"]


def _example(name: str) -> str:
    found = re.search(rf"^\*\*{name}\*\*:.*?^```json\n(.*?)\n```$", ALL, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def _finished_runs(folder: Path) -> None:
    """What the Python examples read: the example data and the runs of two of README's configs."""
    import negmine

    pairs, corpus = _blocks("json")[:2]
    (folder / "pairs.jsonl").write_text(pairs, "utf-8")
    (folder / "corpus.jsonl").write_text(corpus, "utf-8")
    pq.write_table(pa.table({"doc_id": ["d1", "d2", "d3", "d4"], "vector": list(_VECTORS)}), folder / "c.parquet")
    np.save(folder / "q.npy", _VECTORS[[0, 3]])
    ready = "embed: {vectors: {corpus: c.parquet, queries: q.npy}}"
    of_model = re.compile(r"^embed:\n  model: .*$", re.MULTILINE)
    with_model = [block for block in _blocks("yaml") if _is_config(block) and of_model.search(block)]
    for name, block in zip(("negmine.yaml", "formats.yaml"), with_model, strict=True):
        (folder / name).write_text(of_model.sub(ready, block), "utf-8")
        negmine.run(negmine.load_config(folder / name))


_VECTORS = np.array([[1, 0, 0, 0.1], [0.5, 1, 0, 0], [0, 0.4, 1, 0], [0.1, 0, 0.7, 1]], np.float32)
