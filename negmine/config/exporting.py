"""Config of the training files to write."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from negmine.config.values import Section, worded

EXPORT_SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
RESERVED_FILES = ("README.md", "provenance.parquet", "manifest.json")


def _export_file(name: str) -> str:
    """``name`` when it is a data file inside the export folder and of a known kind."""
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or not name.isprintable():
        raise worded(f"expected a file name inside the export folder, found {name!r}")
    if ".." in parts:
        raise worded(f"{name!r} leads out of the export folder")
    if any(not part or part.startswith(".") for part in parts):
        raise worded(f"no part of a file name may be empty or begin with a dot, found {name!r}")
    if name.lower() in [reserved.lower() for reserved in RESERVED_FILES]:
        raise worded(f"{name!r} is a file that negmine writes itself")
    if not parts[-1].endswith(EXPORT_SUFFIXES) or parts[-1] in EXPORT_SUFFIXES:
        raise worded(f"a file name ends with one of {', '.join(EXPORT_SUFFIXES)}, found {name!r}")
    return name


class ExportConfig(Section):
    """One training file to write."""

    format: Literal["triplet", "n-tuple", "labeled-pair", "labeled-list"] = Field(
        description="Layout of the rows, as Sentence Transformers names them."
    )
    file: Annotated[str, AfterValidator(_export_file)] = Field(
        description="File name in the export folder; how it is written follows from its ending: .jsonl,"
        " .jsonl.gz, .jsonl.zst or .parquet.",
        json_schema_extra={
            "pattern": r"^[^./\\][^\\]*\.(jsonl|jsonl\.gz|jsonl\.zst|parquet)$",
            "examples": ["train.jsonl", "train.parquet"],
        },
    )
    scores: bool = Field(default=False, description="Write the scores next to the texts.")
    shard_rows: int | None = Field(default=None, ge=1, description="Split the file after so many rows.")
