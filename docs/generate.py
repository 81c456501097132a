"""Write the parts of the documentation that the code knows best: config, commands, reasons, exit codes.

``python docs/generate.py`` rewrites what stands between ``<!-- generated: name -->`` and
``<!-- end -->`` in docs/*.md; with ``--check`` it changes nothing and exits 1 when a file is out of date.
"""

from __future__ import annotations

import os

# Both are read when typer is imported: help as plain text, the same on every terminal.
os.environ["TYPER_USE_RICH"] = "0"
os.environ["COLUMNS"] = "80"

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from negmine.cli.app import app
from negmine.config import reference_markdown
from negmine.errors import EXIT_CODES
from negmine.selection.verdicts import EXPLANATIONS, explanation

FOLDER = Path(__file__).resolve().parent
BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    stale = [path for path, old, new in generated() if new != old]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"docs/{path.name} is out of date. Run: python docs/generate.py\n")
        return bool(stale)
    for path, _, new in generated():
        if path in stale:
            path.write_text(new, "utf-8")
            sys.stdout.write(f"docs/{path.name} was rewritten\n")
    return 0


def generated() -> list[tuple[Path, str, str]]:
    """Every file with its text, and with that text as its generated blocks should make it.

    Raises ValueError when a block is missing or unknown.
    """
    texts = {path: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.md"))}
    differing = set(BLOCKS) ^ {match[2] for text in texts.values() for match in BLOCK.finditer(text)}
    if differing:
        raise ValueError(f"docs/*.md and docs/generate.py differ in their blocks: {', '.join(sorted(differing))}")
    made = {name: block().strip() for name, block in BLOCKS.items()}
    return [
        (path, text, BLOCK.sub(lambda match: f"{match[1]}\n{made[match[2]]}\n\n{match[3]}", text))
        for path, text in texts.items()
    ]


def program() -> Any:
    """``negmine`` itself, with all its commands."""
    return typer.main.get_command(app)


def _config() -> str:
    return reference_markdown()


def _commands() -> str:
    root = program()
    context = root.make_context("negmine", [], resilient_parsing=True)
    sections = [_help(root, context)]
    for name in root.list_commands(context):
        command = root.commands[name]
        own = command.make_context(name, [], parent=context, resilient_parsing=True)
        sections.append(f"## `negmine {name}`\n\n{_help(command, own)}")
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
