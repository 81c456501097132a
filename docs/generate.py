"""Write the parts of README.md that the code knows best: config, commands, reasons, exit codes.

``python docs/generate.py`` rewrites what stands between ``<!-- generated: name -->`` and
``<!-- end -->``; with ``--check`` it changes nothing and exits 1 when README.md is out of date.
"""

from __future__ import annotations

import os

# Both are read when typer is imported: help as plain text, the same on every terminal.
os.environ["TYPER_USE_RICH"] = "0"
os.environ["COLUMNS"] = "80"

import importlib
import pkgutil
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

import negmine.cli
from negmine.config import reference_markdown
from negmine.errors import EXIT_CODES
from negmine.selection.verdicts import EXPLANATIONS, explanation

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    old = README.read_text("utf-8")
    new = generated(old)
    if new == old:
        return 0
    if "--check" in sys.argv[1:]:
        sys.stderr.write("README.md is out of date. Run: python docs/generate.py\n")
        return 1
    README.write_text(new, "utf-8")
    sys.stdout.write("README.md was rewritten\n")
    return 0


def generated(text: str) -> str:
    """``text`` with every generated block as it should be. Raises ValueError when one is missing."""
    missing = set(BLOCKS) ^ {match[2] for match in BLOCK.finditer(text)}
    if missing:
        raise ValueError(f"README.md and docs/generate.py differ in their blocks: {', '.join(sorted(missing))}")
    return BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]().strip()}\n\n{match[3]}", text)


def program() -> Any:
    """``negmine`` itself, with all its commands."""
    for module in pkgutil.iter_modules(negmine.cli.__path__, "negmine.cli."):
        importlib.import_module(module.name)
    return typer.main.get_command(importlib.import_module("negmine.cli.main").app)


def _config() -> str:
    return reference_markdown()


def _commands() -> str:
    root = program()
    context = root.make_context("negmine", [], resilient_parsing=True)
    sections = [_help(root, context)]
    for name in root.list_commands(context):
        command = root.commands[name]
        own = command.make_context(name, [], parent=context, resilient_parsing=True)
        sections.append(f"### `negmine {name}`\n\n{_help(command, own)}")
    return "\n".join(sections)


def _help(command: Any, context: Any) -> str:
    lines = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    return f"```text\n{lines.strip()}\n```\n"


def _reasons() -> str:
    meanings = {**EXPLANATIONS, "same_<column>": explanation("same_<column>")}
    rows = [f"| `{reason}` | {_cell(meaning)} |" for reason, meaning in meanings.items()]
    return "\n".join(["| reason | meaning |", "|---|---|", *rows])


def _exit_codes() -> str:
    rows = [f"| {code} | {_cell(meaning)} |" for code, meaning in EXIT_CODES]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


BLOCKS: dict[str, Callable[[], str]] = {
    "config": _config,
    "commands": _commands,
    "reasons": _reasons,
    "exit-codes": _exit_codes,
}

if __name__ == "__main__":
    sys.exit(main())
