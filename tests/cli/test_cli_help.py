"""What the command line says of itself, and what it costs to ask."""

from __future__ import annotations

import subprocess
import sys

import pytest

from negmine.cli.catalogue import COMMANDS as CATALOGUED

COMMANDS = sorted(CATALOGUED)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(call, name):
    shown = call(name, "--help")
    assert shown.code == 0
    assert f"For example:\n    negmine {name}" in shown.out


def test_run_is_the_first_command(call):
    listed = call("--help").out.split("Commands:\n")[1]
    assert listed.split()[0] == "run"


def test_every_command_is_listed(call):
    text = call("--help").out
    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []


def test_help_fits_80_columns(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    texts = [call("--help").out, *(call(name, "--help").out for name in COMMANDS)]
    assert [line for text in texts for line in text.splitlines() if len(line) > 80] == []


def test_no_arguments_show_help_on_stderr_and_exit_2(call):
    shown = call()
    assert (shown.code, shown.out) == (2, "")
    assert "Usage: negmine" in shown.err


def test_version_is_printed(call):
    assert call("--version").out.startswith("negmine ")


def test_an_unknown_command_suggests_the_nearest(call):
    shown = call("stat")
    assert shown.code == 2
    assert shown.err == "error: No such command 'stat'. Did you mean 'status'? See: negmine --help\n"


def test_an_unknown_option_is_one_line(call):
    shown = call("run", "--jsn")
    assert shown.code == 2
    assert shown.err.count("\n") == 1
    assert "--json" in shown.err


def test_a_wrong_choice_names_the_right_ones(call):
    shown = call("status", "--log-format", "xml")
    assert shown.code == 2
    assert shown.err == "error: --log-format is 'xml'. Use text or json.\n"


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    code = f"""
import sys
from negmine.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    heavy = "torch sentence_transformers transformers faiss pyarrow numpy pydantic".split()
    print("loaded:", [name for name in heavy if name in sys.modules])
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("loaded: []\n")
