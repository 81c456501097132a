"""The dataset card of a run's training files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from negmine.config import Config
from negmine.config.exporting import TRAIN
from negmine.stages.account import judging, reasons, recipe, score_histogram
from negmine.stages.base import Job
from negmine.stages.export.chunks import chunks, passage_column, passage_columns
from negmine.stages.export.targets import Target, targets
from negmine.stages.final import final_stage
from negmine.stages.texts import passages_of, queries_of
from negmine.store.manifest import Part
from negmine.writers import Cells, Groups, Member
from negmine.writers.card import Card, CardFile, Held, dataset_card
from negmine.writers.files import in_shards
from negmine.writers.histogram import FIGURE, can_draw, draw


def model_name(config: Config) -> str:
    """The model as the card names it: a local folder by its name alone."""
    model, endpoint = config.embed.model, config.embed.endpoint
    if model is None:
        return endpoint.model if endpoint is not None else "ready-made vectors"
    return Path(model).name if Path(model).is_absolute() else model


def write_card(job: Job) -> Mapping[str, int]:
    """Publish the dataset card, and the picture in it where it can be drawn."""
    manifest, receipts = job.manifest("ingest"), job.pending.receipts()
    counts = {name: manifest.counts[name] for name in ("distinct_queries", "positives", "passages")}
    final = job.manifest(final_stage(job.config)).counts
    negatives = final["negatives"]
    if job.config.pairs.action == "drop" or job.config.judge is not None:
        left = [
            (len(chunk.positive_ids), chunk.kept.num_rows, int((chunk.groups.positives > 0).sum()))
            for chunk in chunks(job)
        ]
        counts["positives"], negatives, counts["distinct_queries"] = (sum(column) for column in zip(*left, strict=True))
    parts = [part for receipt in receipts.values() for part in receipt.parts]
    left_out = {key: count for receipt in receipts.values() for key, count in receipt.counts.items()}
    card = Card(
        files=tuple(file for each in targets(job) for file in _files(each, parts, left_out)),
        counts=counts,
        negatives=negatives,
        model=model_name(job.config),
        settings={
            **{f"filter.{key}": value for key, value in job.config.filter.model_dump(mode="json").items()},
            **{f"pairs.{key}": value for key, value in job.config.pairs.model_dump(mode="json").items()},
            "mine.k": job.config.mine.k,
            **_judge_settings(job.config),
        },
        example=_example(job),
        recipe=(*recipe(job.config, model_name(job.config)), *judging(job.config, final)),
        reasons=reasons(job),
        held=Held(**receipts["split"].facts["split"]) if job.config.split is not None else None,
        scores=score_histogram(job),
        figure=can_draw(),
    )
    if card.figure and card.scores is not None:
        with job.publish(FIGURE) as output:
            draw(card.scores, output.path, "score")
    with job.publish("README.md") as output:
        output.path.write_text(dataset_card(card), "utf-8")
    return {}


def _judge_settings(config: Config) -> Mapping[str, Any]:
    """How it was judged; not where, nor what it cost."""
    if config.judge is None:
        return {}
    models = {f"judge.{name}.model": getattr(config.judge, name) for name in ("endpoint", "strong")}
    named = {key: model.model for key, model in models.items() if model is not None}
    return {**named, **{f"judge.{key}": getattr(config.judge, key) for key in ("action", "depth", "max_relevant")}}


def _files(target: Target, parts: list[Part], counts: Mapping[str, int]) -> Iterator[CardFile]:
    """What the card says of the files of an export."""

    def described(path: str, schema: pa.Schema | None, label: str, split: str = TRAIN) -> CardFile:
        own = [part for part in parts if in_shards(part.path, path, target.config.shard_rows)]
        return CardFile(
            format=target.config.format,
            scores=target.config.scores or target.config.layout.scores == "always",
            names=tuple(part.path for part in own),
            rows=sum(part.rows for part in own),
            bytes=sum(part.bytes for part in own),
            schema=schema,
            split=split,
            member=label,
            export=target.number,
            left_out=counts.get(f"left_out:{path}", 0),
        )

    for member in target.format.members:
        for split in target.splits:
            yield described(target.path(member, split), _schema(member, target), member.label, split or TRAIN)
    for lookup in target.format.lookups:
        schema = pa.schema([(name, pa.large_string()) for name in lookup.columns])
        yield described(target.lookup_path(lookup), schema, lookup.label)


def _schema(member: Member, target: Target) -> pa.Schema | None:
    """The columns of a file; None when they depend on the rows."""
    texts, nothing, start = pa.array([], pa.large_string()), np.empty(0, np.int64), np.zeros(1, np.int64)
    found_by = pa.array([], pa.list_(pa.string()))
    groups = Groups(start, nothing, np.empty(0), start, nothing, np.empty(0), nothing, found_by)
    rows = member.rows(groups, target.options)
    cells = Cells(rows, groups, lambda column: column, lambda name: texts, lambda numbers, name: texts)
    schema = member.table(rows, cells, target.options).schema
    return None if any(pa.types.is_map(kind) for kind in schema.types) else schema


def _example(job: Job) -> dict[str, Any] | None:
    """The first query that has a negative, with its texts."""
    for chunk in chunks(job):
        with_negatives = np.flatnonzero(chunk.groups.negatives)
        if len(with_negatives):
            row = int(with_negatives[0])
            numbers = {
                "positives": chunk.groups.positive_passage[slice(*chunk.groups.positive_offsets[row : row + 2])],
                "negatives": chunk.groups.negative_passage[slice(*chunk.groups.negative_offsets[row : row + 2])],
            }
            query = queries_of(job).slice(chunk.start + row, chunk.start + row + 1, ["text"])["text"][0].as_py()
            return {
                "anchor": query,
                **{name: [_text(job, number) for number in found] for name, found in numbers.items()},
            }
    return None


def _text(job: Job, number: int) -> str:
    found = passages_of(job).take(np.array([number]), passage_columns(job))
    text: str = passage_column(job, found, "passage")[0].as_py()
    return text
