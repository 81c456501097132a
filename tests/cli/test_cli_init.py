"""init: a config from the files of a folder, and a plain account of what was recognised."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import negmine
from negmine import load_config
from negmine.config.formats import FORMATS
from negmine.errors import ConfigError, InputError, UsageError
from negmine.starter import write_starter

PAIRS = [{"anchor": f"query {n}", "positive": f"passage {n}"} for n in range(3)]
RENAMED = [{"question": f"query {n}", "answer": f"passage {n}"} for n in range(3)]
DOCUMENTS = [{"_id": f"d{n}", "text": f"passage {n}"} for n in range(5)]
QUERIES = [{"_id": f"q{n}", "text": f"query {n}"} for n in range(3)]
QRELS = "".join(f"q{n} 0 d{n} 1\n" for n in range(3))


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def starter(place, *, model="org/model", force=False):
    return write_starter(place, model=model, force=force)


def loaded(folder):
    return load_config(folder / "negmine.yaml")


def passages(*numbers):
    return [{"docid": f"d{n}", "title": "", "text": f"passage {n}"} for n in numbers]


# Each layout: its files by name, the format, and the keys under `data` that are paths.
LAYOUTS = {
    "pairs": ({"a.jsonl": PAIRS, "b.jsonl": DOCUMENTS}, {"pairs": "a.jsonl", "corpus": "b.jsonl"}),
    "triplets": ({"t.jsonl": [{**row, "negative": "passage 4"} for row in RENAMED]}, {"pairs": "t.jsonl"}),
    "labeled": (
        {"l.jsonl": [{"query": f"query {n}", "text": f"passage {n}", "label": 1} for n in range(3)]},
        {"pairs": "l.jsonl"},
    ),
    "flagembedding": (
        {"fe.jsonl": [{"query": f"query {n}", "pos": [f"passage {n}"], "neg": ["no"]} for n in range(3)]},
        {"pairs": "fe.jsonl"},
    ),
    "tevatron": (
        {
            "t.jsonl": [
                {"query_id": n, "query": f"query {n}", "positive_passages": passages(n), "negative_passages": []}
                for n in range(3)
            ]
        },
        {"pairs": "t.jsonl"},
    ),
    "tevatron-ids": (
        {
            "t.jsonl": [{"query_id": n, "query_text": f"query {n}", "positive_document_ids": [f"d{n}"]} for n in "012"],
            "corpus.jsonl": passages(*range(5)),
        },
        {"pairs": "t.jsonl", "corpus": "corpus.jsonl"},
    ),
    "dpr": (
        {
            "dpr.json": json.dumps(
                [{"question": f"query {n}", "positive_ctxs": passages(n), "hard_negative_ctxs": []} for n in range(3)]
            )
        },
        {"pairs": "dpr.json"},
    ),
    "ids": (
        {
            "train.jsonl": [{"query_id": f"q{n}", "document_ids": [f"d{n}", "d4"]} for n in range(3)],
            "queries.jsonl": [{"query_id": row["_id"], "text": row["text"]} for row in QUERIES],
            "documents.jsonl": [{"document_id": row["_id"], "text": row["text"]} for row in DOCUMENTS],
        },
        {"pairs": "train.jsonl", "queries": "queries.jsonl", "corpus": "documents.jsonl"},
    ),
    "msmarco": (
        {
            "collection.tsv": "".join(f"{n}\tpassage {n}\n" for n in range(5)),
            "queries.dev.tsv": "".join(f"{n}\tquery {n}\n" for n in range(3)),
            "qrels.dev.tsv": "".join(f"{n}\t0\t{n}\t1\n" for n in range(3)),
        },
        {"path": ""},
    ),
    "beir": (
        {
            "corpus.jsonl": DOCUMENTS,
            "queries.jsonl": QUERIES,
            **dict.fromkeys(("qrels/test.tsv", "qrels/train.tsv"), "".join(f"q{n}\td{n}\t1\n" for n in range(3))),
        },
        {"path": ""},
    ),
    "trec": (
        {"docs.jsonl": DOCUMENTS, "queries.jsonl": QUERIES, "qrels.txt": QRELS},
        {"corpus": "docs.jsonl", "queries": "queries.jsonl", "qrels": "qrels.txt"},
    ),
}


# What is read, by the format that it is recognised as: the format it was written as, and the file.
WRITTEN = {
    "triplets": ("triplet", "triplet.jsonl"),
    "triplets of n": ("n-tuple", "tuple.parquet"),
    "triplets with labels": ("margin-mse", "margins.jsonl.gz"),
    "labeled": ("labeled-pair", "labeled.jsonl.zst"),
    "labeled lists": ("labeled-list", "list.parquet"),
    "ids": ("ids", "ids/"),
    "flagembedding": ("flagembedding", "fe.jsonl"),
    "tevatron": ("tevatron", "tevatron.jsonl"),
    "tevatron-ids": ("tevatron-ids", "tevatron-ids/"),
    "beir": ("beir", "beir/"),
}


def layout(folder, name):
    files, keys = LAYOUTS[name]
    for file, rows in files.items():
        write(folder / file, rows)
    return {key: str(folder / value) if value else str(folder) for key, value in keys.items()}


def ingested(folder, call):
    """What ingest counted with the config of a folder, without an edit."""
    shown = call("ingest", "-c", str(folder / "negmine.yaml"), "--json")
    assert shown.code == 0, shown.err
    return shown.json["stages"][0]["counts"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_read_without_an_edit(tmp_path, call, name):
    keys = layout(tmp_path, name)
    assert not starter(tmp_path).incomplete
    data = loaded(tmp_path).data
    assert data.format == name
    assert {key: getattr(data, key) for key in data.given} == keys
    counts = ingested(tmp_path, call)
    assert (counts["distinct_queries"], counts["positives"]) == (3, 3)


def test_there_is_a_layout_of_every_format():
    assert set(LAYOUTS) == set(FORMATS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_offered_can_be_taken(tmp_path, call, name):
    """Every comment under `data` that is a key is valid there."""
    layout(tmp_path, name)
    write(tmp_path / "test.csv", "query,passage\nsome other query,some other passage\n")
    path = starter(tmp_path).path
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"(?m)^  # (?=(negatives|metadata|long_documents|eval_guard): )", "  ", text), "utf-8")
    assert ingested(tmp_path, call)["distinct_queries"] == 3
    assert (loaded(tmp_path).data.negatives == "keep") == ("# negatives: keep" in text)


def test_negatives_that_are_there_are_offered(tmp_path, call):
    layout(tmp_path, "triplets")
    path = starter(tmp_path).path
    path.write_text(path.read_text("utf-8").replace("# negatives: keep", "negatives: keep"), "utf-8")
    assert ingested(tmp_path, call)["passages"] == 4


def test_no_negatives_are_offered_where_there_are_none(tmp_path):
    layout(tmp_path, "pairs")
    assert "negatives: keep" not in starter(tmp_path).path.read_text("utf-8")


def test_notes_say_what_was_recognised_and_why(tmp_path):
    write(tmp_path / "one.jsonl", RENAMED)
    write(tmp_path / "two.csv", "docid,body\n1,text\n")
    assert starter(tmp_path).notes == (
        "one.jsonl: pairs, it has question, answer",
        "two.csv: passages, it has docid, body",
    )


def test_columns_that_differ_from_the_defaults_are_filled_in(tmp_path):
    write(tmp_path / "pairs.jsonl", [{"qid": 1, "question": "q", "positive": "p"}])
    write(tmp_path / "docs.jsonl", [{"docid": "1", "contents": "p", "title": "t"}])
    starter(tmp_path)
    columns = loaded(tmp_path).data.columns
    assert columns.model_fields_set == {"query_id", "anchor", "doc_id", "text"}
    assert (columns.query_id, columns.anchor, columns.doc_id, columns.text) == ("qid", "question", "docid", "contents")


def test_default_columns_are_not_written(tmp_path):
    write(tmp_path / "pairs.jsonl", PAIRS)
    starter(tmp_path)
    assert "columns" not in (tmp_path / "negmine.yaml").read_text("utf-8")


def test_a_column_that_holds_no_texts_is_no_positive(tmp_path):
    write(tmp_path / "squad.jsonl", [{"question": "q", "answers": {"text": ["a"], "start": [1]}}])
    made = starter(tmp_path)
    assert made.incomplete
    assert made.notes[0] == "skipped squad.jsonl: 'answers' is an object and not a text"


def test_pairs_of_ids_need_a_corpus(tmp_path):
    write(tmp_path / "pairs.jsonl", [{"anchor": "q", "positive_id": "d1"}])
    made = starter(tmp_path)
    assert made.incomplete
    assert "no file with the texts of the documents was found: fill in data.corpus" in made.notes


def test_shards_are_one_table(tmp_path, call):
    for number in range(2):
        parquet(tmp_path / f"train-0000{number}-of-00002.parquet", RENAMED[number:])
        write(tmp_path / f"docs.{number}.jsonl", DOCUMENTS[number::2])
    made = starter(tmp_path)
    assert not made.incomplete
    assert made.notes[0].startswith("train-*-of-00002.parquet: 2 files, pairs")
    assert loaded(tmp_path).data.corpus == str(tmp_path / "docs.*.jsonl")
    assert ingested(tmp_path, call)["passages"] == 5


def test_a_folder_of_shards_is_one_table(tmp_path, call):
    for number in range(2):
        parquet(tmp_path / "all" / f"part-{number}.parquet", RENAMED[number:])
    starter(tmp_path)
    assert loaded(tmp_path).data.pairs == str(tmp_path / "all")
    assert ingested(tmp_path, call)["distinct_queries"] == 3


def test_a_glob_matches_no_other_files(tmp_path, call):
    write(tmp_path / "part-1.jsonl", PAIRS[:1])
    write(tmp_path / "part-2.jsonl", PAIRS[1:])
    write(tmp_path / "part-test.jsonl", PAIRS)
    starter(tmp_path)
    assert loaded(tmp_path).data.pairs == str(tmp_path / "part-[0-9]*.jsonl")
    assert ingested(tmp_path, call)["distinct_queries"] == 3


def test_shards_whose_names_look_like_a_pattern_are_read(tmp_path, call):
    for number in range(2):
        write(tmp_path / f"[a] *-{number}.jsonl", PAIRS[number:])
    starter(tmp_path)
    assert ingested(tmp_path, call)["distinct_queries"] == 3


def test_numbered_files_with_other_columns_are_tables_of_their_own(tmp_path):
    write(tmp_path / "data1.jsonl", PAIRS)
    write(tmp_path / "data2.jsonl", DOCUMENTS)
    starter(tmp_path)
    data = loaded(tmp_path).data
    assert (data.pairs, data.corpus) == (str(tmp_path / "data1.jsonl"), str(tmp_path / "data2.jsonl"))


def test_a_saved_dataset_is_read(tmp_path, call):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(RENAMED).save_to_disk(tmp_path)
    assert not starter(tmp_path).incomplete
    assert ingested(tmp_path, call)["distinct_queries"] == 3


@pytest.mark.parametrize(("splits", "chosen"), [(("train", "test"), "train"), (("dev",), "dev"), (("a", "b"), None)])
def test_a_split_of_a_saved_dataset_is_chosen(tmp_path, call, splits, chosen):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list(RENAMED)
    datasets.DatasetDict(dict.fromkeys(splits, data)).save_to_disk(tmp_path / "saved")
    made = starter(tmp_path)
    assert made.incomplete == (chosen is None)
    if chosen is not None:
        assert loaded(tmp_path).data.split == chosen
        assert ingested(tmp_path, call)["distinct_queries"] == 3


def test_a_file_is_read_though_others_could_be(tmp_path, call):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, PAIRS)
    write(tmp_path / "docs.jsonl", DOCUMENTS)
    made = starter(tmp_path / "b.jsonl")
    assert (made.path, made.incomplete) == (tmp_path / "negmine.yaml", False)
    data = loaded(tmp_path).data
    assert (data.pairs, data.corpus) == (str(tmp_path / "b.jsonl"), str(tmp_path / "docs.jsonl"))
    assert ingested(tmp_path, call)["passages"] == 5


def test_a_file_that_holds_nothing_of_use_is_an_error(tmp_path):
    write(tmp_path / "log.jsonl", [{"level": "info"}])
    with pytest.raises(InputError, match=r"log\.jsonl: neither pairs nor a corpus \(columns: level\)\. docs"):
        starter(tmp_path / "log.jsonl")
    assert not (tmp_path / "negmine.yaml").exists()


def test_files_named_for_testing_are_left_out(tmp_path):
    for name in ("train", "dev", "test"):
        write(tmp_path / f"{name}.jsonl", PAIRS)
    made = starter(tmp_path)
    assert loaded(tmp_path).data.pairs == str(tmp_path / "train.jsonl")
    assert "not used: dev.jsonl, test.jsonl (named for testing)" in made.notes
    assert "# eval_guard: {files: [dev.jsonl, test.jsonl]}" in made.path.read_text("utf-8")


def test_two_possible_pairs_files_are_not_guessed(tmp_path):
    write(tmp_path / "a.jsonl", PAIRS)
    write(tmp_path / "b.jsonl", [{**row, "negative": "n"} for row in PAIRS])
    made = starter(tmp_path)
    text = made.path.read_text("utf-8")
    assert made.incomplete
    assert re.search(r"# pairs: a\.jsonl +# pairs, it has anchor, positive\n", text)
    assert re.search(r"# pairs: b\.jsonl +# triplets, it has anchor, positive, negative\n", text)
    with pytest.raises(ConfigError, match=r"there is no data to read\. Set data\.pairs"):
        loaded(tmp_path)


def test_uncommenting_a_pairs_file_completes_the_config(tmp_path, call):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, RENAMED)
    path = starter(tmp_path).path
    path.write_text(path.read_text("utf-8").replace("# pairs: a.jsonl", "pairs: a.jsonl"), "utf-8")
    assert ingested(tmp_path, call)["distinct_queries"] == 3


@pytest.mark.parametrize("chosen", ["pairs", "labeled"])
def test_rows_that_could_mean_two_things_are_not_guessed(tmp_path, call, chosen):
    """The columns are filled in such that either choice reads them."""
    write(tmp_path / "nli.jsonl", [{"sentence1": f"a {n}", "sentence2": f"b {n}", "label": n % 2} for n in range(4)])
    made = starter(tmp_path)
    assert made.incomplete
    why = "it has sentence1, sentence2"
    assert made.notes[0] == f"nli.jsonl: pairs ({why}) or labeled ({why}, label)"
    made.path.write_text(made.path.read_text("utf-8").replace(f"# format: {chosen}", f"format: {chosen}"), "utf-8")
    assert ingested(tmp_path, call)["positives"] == (4 if chosen == "pairs" else 2)


def test_scores_that_make_no_positive_ask_for_a_grade(tmp_path, call):
    write(tmp_path / "l.jsonl", [{"anchor": "q", "text": "p", "score": 0.7}])
    made = starter(tmp_path)
    assert made.incomplete
    made.path.write_text(made.path.read_text("utf-8").replace("# min_grade", "min_grade"), "utf-8")
    assert ingested(tmp_path, call)["positives"] == 1


def test_beir_splits_without_train_are_left_to_the_user(tmp_path, call):
    layout(tmp_path, "beir")
    (tmp_path / "qrels" / "train.tsv").rename(tmp_path / "qrels" / "dev.tsv")
    made = starter(tmp_path)
    assert made.incomplete
    made.path.write_text(made.path.read_text("utf-8").replace("# split: dev", "split: dev"), "utf-8")
    assert ingested(tmp_path, call)["distinct_queries"] == 3


def test_a_collection_in_a_folder_of_the_folder_is_found(tmp_path, call):
    layout(tmp_path / "scifact", "beir")
    assert not starter(tmp_path).incomplete
    assert loaded(tmp_path).data.path == str(tmp_path / "scifact")
    assert ingested(tmp_path, call)["distinct_queries"] == 3


@pytest.mark.parametrize("name", ["trec", "beir"])
def test_queries_and_documents_may_name_their_ids_otherwise(tmp_path, call, name):
    layout(tmp_path, name)
    write(tmp_path / "queries.jsonl", [{"qid": row["_id"], "text": row["text"]} for row in QUERIES])
    file = "docs.jsonl" if name == "trec" else "corpus.jsonl"
    write(tmp_path / file, [{"pid": row["_id"], "text": row["text"]} for row in DOCUMENTS])
    assert not starter(tmp_path).incomplete
    assert loaded(tmp_path).data.columns.doc_id == "pid"
    assert ingested(tmp_path, call)["distinct_queries"] == 3


def test_texts_under_two_names_are_told_before_the_run(tmp_path):
    layout(tmp_path, "trec")
    write(tmp_path / "docs.jsonl", [{"_id": row["_id"], "body": row["text"]} for row in DOCUMENTS])
    made = starter(tmp_path)
    assert made.incomplete
    assert made.notes[-1] == "queries.jsonl has its texts in 'text' and docs.jsonl in 'body': rename one of the columns"


def test_long_passages_are_looked_at(tmp_path, call):
    write(tmp_path / "pairs.jsonl", [{"anchor": "q", "positive": "a word " * 1000}])
    path = starter(tmp_path).path
    text = path.read_text("utf-8")
    assert "1 of the first 1 passages have over 2000 characters" in text
    path.write_text(text.replace("# long_documents", "long_documents"), "utf-8")
    assert ingested(tmp_path, call)["passages"] > 1


def test_an_unreadable_file_is_skipped_with_a_note(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    assert any(note.startswith("skipped bad.parquet: ") for note in starter(tmp_path).notes)


def test_a_file_with_other_columns_is_skipped_with_a_note(tmp_path):
    write(tmp_path / "log.jsonl", [{"level": "info"}])
    assert "skipped log.jsonl: neither pairs nor a corpus (columns: level)" in starter(tmp_path).notes


def test_an_empty_folder_gets_a_config_to_fill_in(tmp_path):
    made = starter(tmp_path)
    assert made.incomplete
    assert "FILL IN" in made.path.read_text("utf-8")
    assert loaded(tmp_path).data.pairs == str(tmp_path / "pairs.jsonl")


@pytest.mark.parametrize("force", [False, True])
def test_a_missing_folder_is_not_made(tmp_path, force):
    (tmp_path / "support").mkdir()
    with pytest.raises(UsageError, match=r"there is no such file or folder\. Did you mean 'support'\?"):
        starter(tmp_path / "suport", force=force)
    assert not (tmp_path / "suport").exists()


def test_an_existing_config_is_not_replaced(tmp_path):
    starter(tmp_path)
    with pytest.raises(UsageError, match="this config is there already"):
        starter(tmp_path)


def test_force_replaces_a_config(tmp_path):
    starter(tmp_path)
    starter(tmp_path, model="org/other", force=True)
    assert loaded(tmp_path).embed.model == "org/other"


def test_a_local_model_is_found_from_the_folder_of_the_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-model").mkdir()
    (tmp_path / "data").mkdir()
    starter(tmp_path / "data", model="my-model")
    assert loaded(tmp_path / "data").embed.model == str(tmp_path / "my-model")


def test_names_that_yaml_would_read_otherwise_are_quoted(tmp_path):
    write(tmp_path / "0: my pairs #1.jsonl", PAIRS)
    starter(tmp_path)
    assert loaded(tmp_path).data.pairs == str(tmp_path / "0: my pairs #1.jsonl")


def test_the_other_keys_that_are_offered_are_valid(tmp_path):
    write(tmp_path / "pairs.jsonl", PAIRS)
    path = starter(tmp_path).path
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"(?m)^( *)# (?=(mine|risk|split): \{|- \{)", r"\1", text), "utf-8")
    config = loaded(tmp_path)
    assert [export.format for export in config.export] == ["triplet", "flagembedding", "beir"]
    assert config.split is not None
    assert set(yaml.safe_load(path.read_text("utf-8"))) >= {"mine", "split"}


def test_the_command_prints_notes_on_stderr_and_the_next_step(tmp_path, call):
    write(tmp_path / "pairs.jsonl", PAIRS)
    shown = call("init", str(tmp_path))
    path = tmp_path / "negmine.yaml"
    assert shown.out == f"wrote {path}\nnext: negmine run -c {path}\n"
    assert shown.err.startswith("pairs.jsonl: pairs")


def test_the_command_refuses_to_overwrite_with_exit_2(project, call):
    assert call("init").code == 2


def test_the_command_refuses_a_missing_folder_with_exit_2(tmp_path, call):
    assert call("init", str(tmp_path / "newdir")).code == 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Six queries with a positive and two negatives each, written in every format that is read."""
    folder = tmp_path_factory.mktemp("exported")
    rng = np.random.default_rng(0)
    write(folder / "corpus.jsonl", [{"_id": f"d{n}", "title": "", "text": f"passage {n}"} for n in range(12)])
    write(folder / "pairs.jsonl", [{"anchor": f"query {n}", "positive_id": f"d{n}"} for n in range(6)])
    for name, count in (("corpus", 12), ("queries", 6)):
        np.save(folder / f"{name}.npy", rng.standard_normal((count, 8)).astype(np.float32))
    negmine.run(
        negmine.config_from_dict(
            {
                "work_dir": str(folder / "work"),
                "data": {"pairs": str(folder / "pairs.jsonl"), "corpus": str(folder / "corpus.jsonl")},
                "embed": {"vectors": {name: str(folder / f"{name}.npy") for name in ("corpus", "queries")}},
                "filter": {"num_negatives": 2, "risk": None},
                "export": [{"format": format_, "file": file} for format_, file in WRITTEN.values()],
            }
        )
    )
    return folder / "work" / "export"


@pytest.mark.parametrize(("read_as", "written"), WRITTEN.items())
def test_what_is_exported_is_read_again(exported, tmp_path, call, read_as, written):
    """Every export is recognised, with its negatives, by what is in it."""
    source = exported / written[1]
    (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / source.name)
    folder = tmp_path / source.name if source.is_dir() else tmp_path
    path = starter(folder).path
    assert loaded(folder).data.format == read_as.split()[0]
    path.write_text(path.read_text("utf-8").replace("# negatives: keep", "negatives: keep"), "utf-8")
    counts = ingested(folder, call)
    assert (counts["distinct_queries"], counts["positives"], counts["given_negatives"]) == (6, 6, 12)


def test_the_config_it_writes_runs(project, call):
    (project / "negmine.yaml").unlink()
    call("init")
    vectors = "{corpus: corpus.npy, queries: queries.npy}"
    assert call("run", "-q", "--set", "embed.model=null", "--set", f"embed.vectors={vectors}").code == 0
