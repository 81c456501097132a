"""Config of what becomes of the user's texts: passages from documents, chunks, texts to keep out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from negmine.config.values import Names, Problem, Section
from negmine.errors import nearest
from negmine.text import Template

LEAST_CHUNK = 50
"""Characters: below this, chunks say nothing, and a single letter with its marks may not fit."""


class ChunkConfig(Section):
    """How long documents are cut."""

    max_chars: int = Field(default=1000, ge=LEAST_CHUNK, description="Characters of a chunk's text at most.")
    overlap_chars: int = Field(
        default=200, ge=0, description="Characters that a chunk repeats of the one before, at most."
    )

    def problems(self) -> Iterator[Problem]:
        if self.overlap_chars > self.max_chars // 2:
            yield Problem(
                ("overlap_chars", "max_chars"),
                f"chunks of {self.max_chars} characters may overlap by half, and this is {self.overlap_chars}",
                f"Set it to at most {self.max_chars // 2}.",
            )


class EvalGuardConfig(Section):
    """Texts of an evaluation set, which must not be trained on."""

    example = "{files: [test.jsonl]}"

    files: Names = Field(
        min_length=1,
        description="Files of the evaluation set in any format that is read; of a BEIR folder, its queries.",
    )
    columns: Names = Field(
        default=(), description="Columns with its texts; none: those with a usual name, such as `query` or `positive`."
    )
    action: Literal["drop", "error"] = Field(
        default="drop", description="What a query or document with such a text does: leave the data, or stop the run."
    )


def text_problems(
    template: str, metadata: Sequence[str], long_documents: str, chunk: ChunkConfig | None
) -> Iterator[Problem]:
    """The rules between the keys of `data` that this module is about which do not hold."""
    yield from _template_problems(template, metadata)
    if long_documents == "keep" and chunk is not None:
        yield Problem(("chunk",), "applies only to data.long_documents: chunk, which is keep", "Remove it.")
    if long_documents == "chunk" and "document" in metadata:
        yield Problem(
            ("metadata",),
            "'document' is a column that negmine writes itself when it cuts documents",
            "Rename the column, or set data.long_documents: keep.",
        )


def _template_problems(template: str, metadata: Sequence[str]) -> Iterator[Problem]:
    key = ("passage_template",)
    try:
        names = Template(template).names
    except ValueError as error:
        yield Problem(key, str(error))
        return
    known = ("title", "text", *metadata)
    for name in names:
        if name not in known:
            listed = ", ".join(f"{{{column}}}" for column in known)
            yield Problem(
                key,
                f"there is no {{{name}}} to fill in (there are {listed})",
                nearest(name, known) or f"Add '{name}' to data.metadata, if it is a column of the corpus.",
            )
    if "text" not in names:
        yield Problem(key, "it lacks {text}: no passage would have the text of its document")
