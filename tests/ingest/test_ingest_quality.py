"""What ingest says of the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingesting import ingest_rows

from negmine.cli.quality import data_warnings, truncation_warnings
from negmine.stages.ingest.languages import languages, script, scripts
from negmine.stages.ingest.quality import SAMPLED, Survey, percentiles

CORPUS = [
    {"_id": "a", "text": "The parcel is at the depot and waits for the driver."},
    {"_id": "b", "text": "the parcel is at the depot and waits for the driver."},
    {"_id": "a", "text": "The parcel is at the depot and waits for the driver."},
    {"_id": "c", "text": "  "},
    {"_id": "d", "text": "where is my parcel"},
]
PAIRS = [
    {"query_id": "1", "anchor": "where is my parcel", "positive_id": "a"},
    {"query_id": "1", "anchor": "where is my parcel", "positive_id": "a"},
    {"query_id": "2", "anchor": "Where is my PARCEL", "positive_id": ["b", "c"]},
    {"query_id": "3", "anchor": "водитель ждёт посылку на складе", "positive_id": "d"},
]


def test_quality_counts_what_is_in_the_files(tmp_path: Path) -> None:
    run = ingest_rows(tmp_path, pairs=PAIRS, corpus=CORPUS)
    found = json.loads((run.folder / "quality.json").read_text("utf-8"))
    queries, passages, pairs = found["queries"], found["passages"], found["pairs"]
    assert (queries["count"], queries["merged"], queries["also_passages"]) == (2, 1, 1)
    assert (passages["count"], passages["merged"], passages["ids_merged"], passages["blank"]) == (2, 1, 1, 1)
    assert (pairs["count"], pairs["repeated"], pairs["blank"]) == (3, 1, 1)
    assert passages["characters"] == {"p50": 18, "p90": 52, "p99": 52, "max": 52}
    assert queries["scripts"] == {"Cyrillic": 0.5, "Latin": 0.5}
    assert queries["languages"]["ru"] == 0.5
    assert pairs["per_query"] == {"min": 1, "p50": 1, "p90": 2, "max": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", "Latin"),
        ("привет hi", "Cyrillic"),
        ("مرحبا", "Arabic"),
        ("שלום", "Hebrew"),
        ("漢字", "Han"),
        ("ひらがな", "Hiragana"),
        ("한국어", "Hangul"),
        ("𐎠𐎡𐎢", "other"),
        ("123 !?", "none"),
        ("", "none"),
    ],
)
def test_the_script_of_a_text_is_that_of_most_letters(text: str, expected: str) -> None:
    assert script(text) == expected


def test_a_text_that_no_language_is_certain_for_is_unsure() -> None:
    assert languages(["123", "Der Fahrer wartet auf das Paket, das im Lager liegt."]) == {"de": 0.5, "unsure": 0.5}
    assert scripts([]) == {}


@given(st.permutations(range(40)), st.integers(1, 40))
def test_the_sample_depends_on_the_texts_and_not_on_their_order(order: list[int], cut: int) -> None:
    def report(rows: list[int], pieces: int) -> object:
        survey = Survey(sampled=7)
        for piece in np.array_split(np.array(rows), pieces):
            survey.add([f"{'a' * row} д" if row % 2 else "б" * (row + 1) for row in piece], piece.astype(np.uint64))
        found = survey.report()
        return found["scripts"], found["characters"], found["sampled"]

    assert report(list(order), cut) == report(list(range(40)), 1)
    assert SAMPLED == 2000


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(0, 100))
def test_percentiles_are_the_least_that_are_not_exceeded(values: list[int], share: int) -> None:
    least = min(v for v in values if 100 * sum(other <= v for other in values) >= share * len(values))
    assert percentiles(np.array(values), {"x": share}) == {"x": least}


def test_warnings_state_what_is_above_the_bounds(tmp_path: Path) -> None:
    ingest_rows(tmp_path, pairs=PAIRS, corpus=CORPUS)
    found = json.loads((tmp_path / "run" / "ingest" / "quality.json").read_text("utf-8"))
    assert [text.split(":")[0].split(";")[0] for text in data_warnings(found)] == [
        "1 documents (20.0%) have no text and were left out",
        "2 documents (50.0%) say what another one says",
        "1 pairs (25.0%) are repetitions",
        "1 of 2 queries say what a passage says",
    ]
    totals = {"passages": 100, "distinct_queries": 100}
    assert list(truncation_warnings({"truncated_passages": 5, "truncated_queries": 0}, totals)) == []
    (text,) = truncation_warnings({"truncated_passages": 6}, totals)
    assert "6 of 100 passages (6.0%) are longer than the model reads" in text
    assert "data.long_documents: chunk" in text
