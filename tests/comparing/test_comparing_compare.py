"""Two runs compared: the figures are those of a loop over the lists of negatives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from comparable_runs import DOCUMENTS, QUERIES, config_of, finished, kept, write
from hypothesis import given, settings
from hypothesis import strategies as st

import negmine
from negmine.comparing import Comparison, compare
from negmine.comparing.churn import most_changed, overlap
from negmine.comparing.matching import Keys, match
from negmine.errors import ArtifactError, UsageError


def jaccard(a: list[str], b: list[str]) -> float:
    return len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1.0


def check(found: Comparison, a: dict[str, list[str]], b: dict[str, list[str]], queries: list[tuple[str, str]]) -> None:
    """The churn against a loop over ``queries``, the matched ids."""
    each = [jaccard(a.get(left, []), b.get(right, [])) for left, right in queries]
    both = sum(len(set(a.get(left, [])) & set(b.get(right, []))) for left, right in queries)
    churn = found.churn
    assert churn.queries == len(queries)
    assert churn.jaccard["mean"] == pytest.approx(np.mean(each))
    assert churn.jaccard["p25"] == pytest.approx(np.quantile(each, 0.25))
    assert churn.churn == pytest.approx(1 - np.mean(each))
    assert churn.unchanged == sum(value == 1 for value in each)
    assert churn.histogram["unchanged"] == churn.unchanged
    assert sum(churn.histogram["counts"]) == len(queries) - churn.unchanged
    assert churn.kept == both
    assert churn.gone == sum(len(a.get(left, [])) for left, _ in queries) - both
    assert churn.new == sum(len(b.get(right, [])) for _, right in queries) - both


def test_comparing_churn_is_that_of_a_loop(plain: Path, margin: Path) -> None:
    """Jaccard, its quantiles and the counts of kept, gone and new negatives are those of plain sets."""
    found = compare(plain, margin)
    check(found, kept(plain), kept(margin), [(name, name) for name in QUERIES])
    assert 0 < found.churn.churn < 1
    assert found.churn.matched_by == {"id_and_text": len(QUERIES), "text": 0, "id": 0}


def test_comparing_a_run_with_itself_finds_nothing(plain: Path) -> None:
    """Nothing differs, and no query is listed."""
    found = compare(plain, plain)
    assert found.churn.churn == 0
    assert (found.settings, found.changed, found.gone, found.new) == ((), (), {}, {})
    assert all(shift.a == shift.b and not shift.not_comparable for shift in found.shifts)


def test_comparing_says_what_the_other_run_made_of_a_negative(plain: Path, margin: Path) -> None:
    """The reason beside each negative that only one run has is the verdict that stands in the other one's files."""
    found = compare(plain, margin, most=len(QUERIES))
    table = negmine.results.read_verdicts(margin).select(["query_id", "doc_id", "reason"]).to_pylist()
    verdict = {(row["query_id"], row["doc_id"]): row["reason"] for row in table}
    listed = [(q.id_a, negative) for q in found.changed for negative in q.a]
    assert {negative.elsewhere for _, negative in listed} >= {"kept", "relative_margin"}
    assert all(negative.elsewhere == verdict[query, negative.doc_id] for query, negative in listed)
    gone = Counter(negative.elsewhere for _, negative in listed if negative.elsewhere != "kept")
    assert found.gone == dict(gone)


def test_comparing_settings_are_those_that_differ(plain: Path, margin: Path) -> None:
    """A key that differs is named with both values, and nothing else."""
    changes = [(each.kind, each.key, each.a, each.b) for each in compare(plain, margin).settings]
    assert changes == [("config", "filter.relative_margin", None, 0.05)]


def test_comparing_shifts_are_of_the_negatives(plain: Path, margin: Path) -> None:
    """Means of score and margin are those of the tables."""
    found = {shift.measure: shift for shift in compare(plain, margin).shifts}
    for side, run in (("a", plain), ("b", margin)):
        table = negmine.read_negatives(run)
        score, reference = table["score"].to_numpy(), table["reference"].to_numpy()
        assert getattr(found["score"], side)["mean"] == pytest.approx(score.mean())
        assert getattr(found["margin"], side)["mean"] == pytest.approx((reference - score).mean())
        assert getattr(found["rank"], side)["p50"] == np.median(table["rank"].to_numpy())
    assert {shift.not_comparable for shift in found.values()} == {""}
    assert "risk" not in found


def test_comparing_most_changed_come_first(plain: Path, margin: Path) -> None:
    """Queries are listed by their Jaccard index, with texts of query, positives and negatives."""
    found = compare(plain, margin, most=3).changed
    a, b = kept(plain), kept(margin)
    every = sorted(jaccard(a.get(name, []), b.get(name, [])) for name in QUERIES)
    assert [query.jaccard for query in found] == every[:3]
    first = found[0]
    assert first.text == QUERIES[first.query_id]
    assert len(first.positives) == 2
    assert [negative.doc_id for negative in first.a] == a.get(first.query_id, [])
    assert all(negative.text == DOCUMENTS[negative.doc_id] for negative in (*first.a, *first.b))


def test_comparing_other_ids_are_matched_by_text(plain: Path, tmp_path: Path) -> None:
    """With new ids for all documents and queries, in another order, nothing has changed."""
    documents = {f"doc-{i}": text for i, text in enumerate(reversed(DOCUMENTS.values()))}
    queries = {f"query-{i}": text for i, text in enumerate(reversed(QUERIES.values()))}
    write(tmp_path / "data", documents, queries)
    found = compare(plain, finished(tmp_path / "data", tmp_path / "run"))
    assert found.churn.matched_by == {"id_and_text": 0, "text": len(QUERIES), "id": 0}
    assert found.churn.churn == 0
    assert {change.kind for change in found.settings} == {"input"}


def test_comparing_shifted_numbers_are_no_ids(plain: Path, tmp_path: Path) -> None:
    """Where ids are row numbers and a row went away, texts count: other texts under an old id are not the same."""
    texts = list(DOCUMENTS.values())[1:]
    documents = {f"d{i}": text for i, text in enumerate(texts)}
    queries = {f"q{i}": text for i, text in enumerate(list(QUERIES.values())[1:])}
    write(tmp_path / "data", documents, queries)
    other = finished(tmp_path / "data", tmp_path / "run")
    found = compare(plain, other)
    back = {text: name for name, text in DOCUMENTS.items()}
    a = kept(plain)
    b = {name: [back[documents[doc]] for doc in docs] for name, docs in kept(other).items()}
    check(found, a, b, [(f"q{i + 1}", f"q{i}") for i in range(len(queries))])
    assert (found.churn.removed_queries, found.churn.removed_ids, found.churn.new_queries) == (1, ("q0",), 0)


def test_comparing_an_edited_text_keeps_its_id(plain: Path, tmp_path: Path) -> None:
    """A query and a passage with an edited text are matched by their ids."""
    (a, b) = next((name, docs[0]) for name, docs in kept(plain).items())
    write(tmp_path / "data", {**DOCUMENTS, b: "a passage that was edited"}, {**QUERIES, "q3": "an edited question"})
    found = compare(plain, finished(tmp_path / "data", tmp_path / "run"))
    assert found.churn.matched_by == {"id_and_text": len(QUERIES) - 1, "text": 0, "id": 1}
    assert found.churn.removed_queries == found.churn.new_queries == 0
    assert "not_there" not in found.gone
    assert compare(plain, tmp_path / "run", query_ids=[a]).changed[0].query_id == a


def test_comparing_a_passage_that_is_gone_is_told(plain: Path, tmp_path: Path) -> None:
    """Negatives whose passage the other corpus lacks are counted as such; new queries are listed."""
    gone = next(iter(kept(plain).values()))[0]
    documents = {name: text for name, text in DOCUMENTS.items() if name != gone}
    write(tmp_path / "data", documents, {**QUERIES, "q77": "a new question"})
    found = compare(plain, finished(tmp_path / "data", tmp_path / "run"))
    assert found.gone["not_there"] == sum(gone in docs for docs in kept(plain).values())
    assert (found.churn.new_queries, found.churn.new_ids) == (1, ("q77",))
    query = compare(plain, tmp_path / "run", query_ids=["q77"]).changed[0]
    assert (query.id_a, query.id_b, query.jaccard, query.a) == (None, "q77", None, ())


def test_comparing_scores_of_other_vectors_are_not_compared(plain: Path, tmp_path: Path) -> None:
    """Scores and margins of other vectors are shown and said not to be comparable; ranks are."""
    write(tmp_path / "data", seed="other")
    shifts = compare(plain, finished(tmp_path / "data", tmp_path / "run")).shifts
    why = {shift.measure: shift.not_comparable for shift in shifts}
    assert "different files" in why["score"]
    assert (why["margin"], why["rank"]) == (why["score"], "")


def test_comparing_takes_configs_and_warns_of_what_changed(data: Path, plain: Path, tmp_path: Path) -> None:
    """A run named by its config is compared as it is, and a stage that is not current is told."""
    stale = config_of(data, plain, {"num_negatives": 2})
    found = compare(stale, plain)
    assert found.churn.churn == 0
    assert found.a.warnings == ("filter is stale (filter.num_negatives changed: 4 -> 2)",)
    assert found.b.warnings == ()


def test_comparing_warns_of_an_unfinished_work_dir(data: Path, tmp_path: Path) -> None:
    """Of a folder without its config, a missing export and a filter of an earlier mine are told."""
    config = config_of(data, tmp_path / "run")
    negmine.run(config, until="filter")
    assert compare(config.work_dir, config.work_dir).a.warnings == ("export has not finished",)
    negmine.run(config.model_copy(update={"mine": config.mine.model_copy(update={"k": 12})}), until="mine")
    text = "filter was made from an earlier mine than the one that is there"
    assert compare(config.work_dir, config.work_dir).a.warnings == (text,)


def test_comparing_refuses_what_is_no_run(data: Path, plain: Path, tmp_path: Path) -> None:
    """A missing path, a folder without a run, an export folder and an unknown query say what to do."""
    with pytest.raises(UsageError, match="there is no such run"):
        compare(tmp_path / "nowhere", plain)
    with pytest.raises(UsageError, match="no work_dir of a run"):
        compare(plain, tmp_path)
    with pytest.raises(UsageError, match="history --of"):
        compare(plain, plain / "export")
    with pytest.raises(UsageError, match=r"query 'q3x'.*Did you mean 'q3'"):
        compare(plain, plain, query_ids=["q3x"])
    config = config_of(data, tmp_path / "begun")
    negmine.run(config, until="mine")
    with pytest.raises(ArtifactError, match="filter has not finished"):
        compare(config, plain)


def test_comparing_refuses_a_filter_of_another_ingest(tmp_path: Path) -> None:
    """Verdicts about numbers of another ingest cannot be read."""
    write(tmp_path / "data")
    config = config_of(tmp_path / "data", tmp_path / "run")
    negmine.run(config)
    write(tmp_path / "data", queries={**QUERIES, "q77": "a new question"})
    negmine.run(config, until="ingest")
    with pytest.raises(ArtifactError, match="filter was made from an earlier ingest"):
        compare(config, config)


@given(st.lists(st.tuples(st.sets(st.integers(0, 8)), st.sets(st.integers(0, 8))), min_size=1, max_size=20))
@settings(deadline=None)
def test_comparing_overlap_is_that_of_sets(lists: list[tuple[set[int], set[int]]]) -> None:
    """Counts, Jaccard and the order of change are those of sets, also of empty ones."""
    query_a = np.array([place for place, (a, _) in enumerate(lists) for _ in a], np.int64)
    query_b = np.array([place for place, (_, b) in enumerate(lists) for _ in b], np.int64)
    common = np.array([passage in b for a, b in lists for passage in a], bool)
    found = overlap(query_a, common, query_b, len(lists))
    expected = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in lists]
    assert found.jaccard.tolist() == pytest.approx(expected)
    order = sorted(range(len(lists)), key=lambda place: (expected[place], -len(lists[place][0] ^ lists[place][1])))
    assert most_changed(found, 5).tolist() == [place for place in order[:5] if expected[place] < 1]


_NAMES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12, unique_by=(lambda row: row[0], lambda row: row[1])
)


@given(_NAMES, _NAMES)
def test_comparing_matches_by_text_then_by_id(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """Texts decide; an id does only where neither text is on the other side. Swapping the sides changes nothing."""

    def keys(rows: list[tuple[int, int]]) -> Keys:
        return Keys(*(pa.array([str(row[place]) for row in rows], pa.string()) for place in (0, 1)))

    found = match(keys(a), keys(b))
    texts_a, texts_b = {text for _, text in a}, {text for _, text in b}
    for place, (name, text) in enumerate(a):
        partner = next((i for i, row in enumerate(b) if row[1] == text), -1)
        if partner < 0:
            partner = next((i for i, row in enumerate(b) if row[0] == name and row[1] not in texts_a), -1)
        assert text in texts_b or partner < 0 or b[partner][0] == name
        assert found.to_b[place] == partner
    assert match(keys(b), keys(a)).to_b.tolist() == found.to_a(len(b)).tolist()
