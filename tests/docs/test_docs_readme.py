"""README.md says what is true: it is generated, parsed, linked and run here."""

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

from negmine.cli.commands import app
from negmine.config import all_keys, load_config
from negmine.config.models import ExportConfig
from negmine.errors import EXIT_CODES
from negmine.selection.verdicts import EXPLANATIONS, REASONS
from negmine.stages import STAGES
from negmine.writers import FORMATS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TEXT = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
"""README without its code blocks."""


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _commands() -> dict[str, Any]:

    return typer.main.get_command(app).commands


def _is_config(block: str) -> bool:
    return re.search(r"^data:", block, re.MULTILINE) is not None


def _slugs() -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _lines() -> list[str]:
    """Every line in a code block that calls negmine."""
    found = []
    for language in ("sh", "yaml", "text"):
        for block in _blocks(language):
            for line in block.splitlines():
                call = re.search(r"(?:^|[ /])(negmine [a-z]+ -.*?)(?: \|\||\s*>+| 2>|$)", line.split("  # ")[0])
                if call and not line.lstrip().startswith(("Usage:", "#")):
                    found.append(re.split(r"\s{2,}", call[1])[0])  # examples in help have a comment beside them
    return found


def test_docs_readme_generated_blocks_are_current() -> None:
    """The parts of README that the code knows are as the code says."""
    script = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_docs_readme_every_command_has_help_and_a_section() -> None:
    """No command is undocumented, and no section is about a command that is gone."""
    commands = _commands()
    assert all(command.help for command in commands.values())
    assert set(re.findall(r"^### `negmine ([a-z-]+)`$", README, re.MULTILINE)) == set(commands)


def test_docs_readme_every_option_has_help() -> None:
    """``--help`` explains each option and argument."""
    for name, command in _commands().items():
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_docs_readme_names_every_config_key() -> None:
    """The config reference is complete."""
    keys = [key for key in all_keys() if key != "export"]
    keys += [f"export.N.{name}" for name in ExportConfig.model_fields]
    assert [key for key in keys if f"| `{key}` |" not in README] == []


def test_docs_readme_names_every_reason_and_exit_code() -> None:
    """A reason or an exit code that a user meets can be looked up."""
    assert set(EXPLANATIONS) == set(REASONS)
    assert [reason for reason in REASONS if f"| `{reason}` |" not in README] == []
    assert [code for code, _ in EXIT_CODES if f"| {code} |" not in README] == []


def test_docs_readme_names_every_stage_and_format() -> None:
    """Every stage has a row in the table of stages, every format an example."""
    assert [stage for stage in STAGES if f"\n| `{stage}` |" not in README] == []
    assert [name for name in FORMATS if f"\n**{name}**:" not in README] == []


def test_docs_readme_links_lead_somewhere() -> None:
    """Relative links name files that exist, and anchors name headings."""
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        if target.startswith("http"):
            continue
        assert not path or (ROOT / path).exists(), target
        assert not anchor or path or anchor in _slugs(), target


def test_docs_readme_paths_exist() -> None:
    """Files of the repository that README names are there."""
    named = re.findall(r"(?:configs|docs|sample_data|tests)/[\w./-]*\w", README)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_docs_readme_make_targets_exist() -> None:
    """``make`` knows what README asks it for."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = [line.split()[1] for block in _blocks("sh") for line in block.splitlines() if line.startswith("make ")]
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@pytest.mark.parametrize("block", [block for block in _blocks("yaml") if _is_config(block)])
def test_docs_readme_configs_load(block: str, tmp_path: Path) -> None:
    """Every config in README is valid."""
    path = tmp_path / "negmine.yaml"
    path.write_text(block, "utf-8")
    assert load_config(path).data.pairs == str(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("rules", re.findall(r"\| `(\{[^`]*: [^`]*\})` \|$", TEXT, re.MULTILINE))
def test_docs_readme_filter_recipes_load(rules: str, tmp_path: Path) -> None:
    """Every filter section of the table of recipes is valid."""
    path = tmp_path / "negmine.yaml"
    path.write_text(f"data: {{pairs: p.jsonl}}\nembed: {{model: m}}\nmine: {{k: 200}}\nfilter: {rules}\n", "utf-8")
    assert load_config(path).filter.risk is None


@pytest.mark.parametrize("rule", re.findall(r"^\| `(\w+: [^`]*)` \|", TEXT, re.MULTILINE))
def test_docs_readme_filter_rules_load(rule: str, tmp_path: Path) -> None:
    """Every rule of the table of rules is valid."""
    path = tmp_path / "negmine.yaml"
    path.write_text(
        f"data: {{pairs: p, corpus: c, metadata: [doc]}}\nembed: {{model: m}}\nfilter: {{{rule}}}\n", "utf-8"
    )
    load_config(path)


def test_docs_readme_other_yaml_parses() -> None:
    """The CI job is YAML with the steps that the text describes."""
    jobs = [YAML(typ="safe").load(block) for block in _blocks("yaml") if not _is_config(block)]
    assert [list(job) for job in jobs] == [["name", "on", "jobs"]]


@pytest.mark.parametrize("line", _lines())
def test_docs_readme_command_lines_parse(line: str) -> None:
    """Every command line in a code block names a command and options that exist."""
    name, *arguments = shlex.split(line)[1:]
    _commands()[name].make_context(name, arguments)


def test_docs_readme_shows_command_lines() -> None:
    """The command lines are found: without them the test above would be empty."""
    assert {"plan", "run"} <= {line.split()[1] for line in _lines()}


@pytest.mark.parametrize("call", sorted(set(re.findall(r"`(negmine [a-z]+[^`]*)`", TEXT))))
def test_docs_readme_inline_commands_exist(call: str) -> None:
    """Commands and options that the text mentions exist."""
    name, *words = call.split()[1:]
    known = {option for parameter in _commands()[name].params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("block", _blocks("json"))
def test_docs_readme_json_parses(block: str) -> None:
    """Every line of a JSON example is an object."""
    assert all(isinstance(json.loads(line), dict) for line in block.splitlines())


def test_docs_readme_format_examples_have_the_columns_of_the_formats() -> None:
    """The example row of each format has the columns that the writer makes."""
    columns = {name: list(json.loads(_example(name))) for name in FORMATS}
    assert columns == {
        "triplet": ["anchor", "positive", "negative"],
        "n-tuple": ["anchor", "positive", "negative_1", "negative_2"],
        "labeled-pair": ["anchor", "text", "label"],
        "labeled-list": ["anchor", "documents", "labels"],
    }


def test_docs_readme_shell_of_the_ci_job_is_sound() -> None:
    """The scripts in the CI job have no syntax error."""
    (job,) = (YAML(typ="safe").load(block) for block in _blocks("yaml") if not _is_config(block))
    scripts = [step["run"] for step in job["jobs"]["mine"]["steps"] if "run" in step]
    assert len(scripts) == 3
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_docs_readme_python_runs(tmp_path: Path) -> None:
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
    found = re.search(rf"^\*\*{name}\*\*:.*?^```json\n(.*?)\n```$", README, re.MULTILINE | re.DOTALL)
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
