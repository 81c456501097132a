"""What a language model is asked: instructions, and a question about passages of one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.resources import files

from negmine.text import Template

SLOTS = ("query", "positives", "passages")
"""What stands for texts in a question; ``{query}`` and ``{passages}`` have to be there."""
_SHIPPED = {"system": "judge-system.txt", "user": "judge-user.txt"}


def shipped_prompt(role: str) -> str:
    """The text that comes with the package for ``system`` or ``user``."""
    return (files("negmine.scoring") / "prompts" / _SHIPPED[role]).read_text("utf-8")


@dataclass(frozen=True)
class Prompts:
    """The instructions, and the template of a question."""

    system: str
    user: str

    @cached_property
    def template(self) -> Template:
        """Raises ValueError, with what is wrong in words, for a template that leaves out what is judged."""
        template = Template(self.user)
        unknown = [name for name in template.names if name not in SLOTS]
        if unknown:
            raise ValueError(f"'{{{unknown[0]}}}' stands for nothing: there are {', '.join(f'{{{s}}}' for s in SLOTS)}")
        missing = [name for name in ("query", "passages") if name not in template.names]
        if missing:
            raise ValueError(f"there is no '{{{missing[0]}}}' in it")
        return template

    def messages(self, query: str, positives: Sequence[str], passages: Sequence[str]) -> list[dict[str, str]]:
        """The messages of a request; passages are numbered from 1."""
        values = {
            "query": query.strip(),
            "positives": "\n".join(f"<answer>\n{text.strip()}\n</answer>" for text in positives),
            "passages": "\n".join(
                f'<passage number="{number}">\n{text.strip()}\n</passage>' for number, text in enumerate(passages, 1)
            ),
        }
        question = "".join(literal + (values[name] if name else "") for literal, name in self.template.pieces)
        return [{"role": "system", "content": self.system.strip()}, {"role": "user", "content": question.strip()}]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that tell one wording from another."""
        return blake2b(f"{self.system}\0{self.user}".encode(), digest_size=16).hexdigest()
