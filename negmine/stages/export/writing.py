"""Writing the files of one export."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.errors import InputError
from negmine.stages.base import Job, Output
from negmine.stages.export.chunks import (
    AT_ONCE,
    cells,
    chunks,
    passage_column,
    passage_columns,
)
from negmine.stages.export.targets import Split, Target
from negmine.stages.texts import passages_of, queries_of
from negmine.writers import Lookup, Member
from negmine.writers.files import Sharded, shard_names

_BLOCK = 16_384


def write_rows(job: Job, target: Target, split: Split) -> Mapping[str, int]:
    """Write the files of rows of one split. Counts the rows of the first, and what it has no place for."""
    members = target.format.members
    _check_ids(job, target, split)
    totals = _totals(job, target, split)
    left_out = 0
    with contextlib.ExitStack() as stack:
        files: list[Sharded] = []
        for member in reversed(members):  # what is entered last ends first
            path, total = target.path(member, split), totals.get(member.label, 0)
            files.insert(0, stack.enter_context(_published(job, target, path, total, member.frame)))
        for chunk in chunks(job, split, needs=target.format.needs):
            for member, out in zip(members, files, strict=True):
                rows = member.rows(chunk.groups, target.options)
                whole = cells(job, chunk, rows, out.encode)
                for first, last in rows.cuts(AT_ONCE):
                    out.write(member.table(rows.part(first, last), whole.part(first, last), target.options))
                left_out += rows.left_out if member is target.main else 0
            job.progress(chunk.stop - chunk.start)
        written = sum(files[0].rows)
    name = target.path(target.main, split)
    return {f"rows:{name}": written} | ({f"left_out:{name}": left_out} if left_out else {})


def write_lookups(job: Job, target: Target) -> Mapping[str, int]:
    """Write the texts that the rows of all splits name, and the small files beside them."""
    queries, passages = _used(job, target)
    for lookup in target.format.lookups:
        used = queries if lookup.of == "query" else passages
        numbers = np.arange(len(used)) if lookup.everything else np.flatnonzero(used)
        with _published(job, target, target.lookup_path(lookup), len(numbers)) as out:
            for first in range(0, max(len(numbers), 1), _BLOCK):
                columns = _texts(job, lookup, numbers[first : first + _BLOCK])
                out.write(pa.table({name: out.encode(column) for name, column in columns.items()}))
    for name, content in target.documents():
        with job.publish(name) as output:
            output.path.write_text(content, "utf-8")
    return {}


@contextlib.contextmanager
def _published(
    job: Job, target: Target, name: str, rows: int, frame: tuple[str, str] | None = None
) -> Iterator[Sharded]:
    """A file to write, which may be shards of ``rows`` rows in all; whole ones appear at the end."""
    names = shard_names(name, rows, target.config.shard_rows)
    with contextlib.ExitStack() as stack:
        outputs: list[Output] = [stack.enter_context(job.publish(each)) for each in reversed(names)][::-1]
        with Sharded([output.path for output in outputs], target.config.shard_rows, frame) as out:
            yield out
        for output, count in zip(outputs, out.rows, strict=True):
            output.rows = count


def _totals(job: Job, target: Target, split: Split) -> dict[str, int]:
    """How many rows each file will have, where the names of shards depend on it."""
    if target.config.shard_rows is None:
        return {}
    totals: dict[str, int] = {}
    for chunk in chunks(job, split, needs=target.format.needs):
        for member in target.format.members:
            totals[member.label] = totals.get(member.label, 0) + member.rows(chunk.groups, target.options).count
    return totals


def _used(job: Job, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Which queries and which passages the rows name: two bool arrays."""
    queries, passages = np.zeros(len(queries_of(job)), bool), np.zeros(len(passages_of(job)), bool)
    for chunk in chunks(job, needs=target.format.needs):
        for member in target.format.members:
            rows = member.rows(chunk.groups, target.options)
            queries[chunk.start + rows.query] = True
            passages[rows.passage(chunk.groups)] = True
    return queries, passages


def _texts(job: Job, lookup: Lookup, numbers: np.ndarray) -> dict[str, pa.Array]:
    """The columns of a file of texts, for some queries or passages."""
    if lookup.of == "query":
        found = queries_of(job).take(numbers, list(lookup.columns.values()))
        return {name: found[column].combine_chunks() for name, column in lookup.columns.items()}
    found = passages_of(job).take(numbers, passage_columns(job))
    return {name: passage_column(job, found, column) for name, column in lookup.columns.items()}


def _check_ids(job: Job, target: Target, split: Split) -> None:
    """Refuse ids that would fall into two columns, before anything is written.

    Raises InputError naming the first.
    """
    for member in target.format.members:
        if member.unfit_in_ids is None:
            continue
        for chunk in chunks(job, split, needs=target.format.needs):
            rows = member.rows(chunk.groups, target.options)
            found = cells(job, chunk, rows, lambda texts: texts)
            for noun, ids in (("query", found.query("query_id")), ("document", found.passage("doc_id"))):
                _refuse(noun, ids, member, target, split)


def _refuse(noun: str, ids: pa.Array, member: Member, target: Target, split: Split) -> None:
    assert member.unfit_in_ids is not None
    pattern, words = member.unfit_in_ids
    bad = ids.filter(pc.match_substring_regex(ids, pattern))
    if len(bad):
        raise InputError(
            f"{noun} id {bad[0].as_py()!r} has {words} in it, which {target.config.format} has no way to write",
            where=f"export.{target.number}.file: {target.path(member, split)}",
            hint="Rename it in the data, or leave this export out.",
        )
