"""init: a config from the files of a folder, and a plain account of what was recognised."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from negmine import load_config
from negmine.errors import ConfigError, UsageError
from negmine.starter import write_starter


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def starter(folder, *, model="org/model", force=False):
    return write_starter(folder, model=model, force=force)


def loaded(folder):
    return load_config(folder / "negmine.yaml")


def test_pairs_and_corpus_are_told_by_their_columns(tmp_path):
    write(tmp_path / "one.jsonl", [{"anchor": "q", "positive": "p"}])
    write(tmp_path / "two.jsonl", [{"_id": "1", "text": "p"}])
    assert not starter(tmp_path).incomplete
    data = loaded(tmp_path).data
    assert (data.pairs, data.corpus) == (str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl"))


def test_notes_say_what_was_recognised_and_why(tmp_path):
    write(tmp_path / "one.jsonl", [{"Question": "q", "answer": "p"}])
    assert starter(tmp_path).notes[0] == "pairs: one.jsonl (anchor: Question, positive: answer)"


def test_columns_that_differ_from_the_defaults_are_filled_in(tmp_path):
    write(tmp_path / "pairs.jsonl", [{"qid": 1, "question": "q", "positive": "p"}])
    write(tmp_path / "docs.jsonl", [{"docid": "1", "contents": "p", "title": "t"}])
    starter(tmp_path)
    columns = loaded(tmp_path).data.columns
    assert columns.model_fields_set == {"query_id", "anchor", "doc_id", "text"}
    assert (columns.query_id, columns.anchor, columns.doc_id, columns.text) == ("qid", "question", "docid", "contents")


def test_default_columns_are_not_written(tmp_path):
    write(tmp_path / "pairs.jsonl", [{"anchor": "q", "positive": "p"}])
    starter(tmp_path)
    assert "columns" not in (tmp_path / "negmine.yaml").read_text("utf-8")


def test_parquet_and_csv_are_looked_into(tmp_path):
    pq.write_table(pa.table({"query": ["q"], "pos": [["a", "b"]]}), tmp_path / "x.parquet")
    (tmp_path / "docs.csv").write_text("id,body\n1,text\n", "utf-8")
    starter(tmp_path)
    data = loaded(tmp_path).data
    assert (data.columns.positive, data.columns.text) == ("pos", "body")


def test_beir_layout_is_recognised(tmp_path):
    write(tmp_path / "corpus.jsonl", [{"_id": "1", "text": "p"}])
    write(tmp_path / "queries.jsonl", [{"_id": "1", "text": "q"}])
    for split in ("test", "train"):
        write(tmp_path / "qrels" / f"{split}.tsv", [])
    assert not starter(tmp_path).incomplete
    data = loaded(tmp_path).data
    assert (data.path, data.split) == (str(tmp_path), "train")


def test_the_only_split_of_a_beir_folder_is_taken(tmp_path):
    write(tmp_path / "corpus.jsonl", [{"_id": "1", "text": "p"}])
    write(tmp_path / "queries.jsonl", [{"_id": "1", "text": "q"}])
    write(tmp_path / "qrels" / "dev.tsv", [])
    starter(tmp_path)
    assert loaded(tmp_path).data.split == "dev"


def test_two_possible_pairs_files_are_not_guessed(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, [{"anchor": "q", "positive": "p"}])
    made = starter(tmp_path)
    text = made.path.read_text("utf-8")
    assert made.incomplete
    assert "# pairs: a.jsonl\n  # pairs: b.jsonl\n" in text
    with pytest.raises(ConfigError, match=r"there is no data to read\. Set data\.pairs"):
        loaded(tmp_path)


def test_uncommenting_a_pairs_file_completes_the_config(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, [{"query": "q", "positive": "p"}])
    path = starter(tmp_path).path
    path.write_text(path.read_text("utf-8").replace("# pairs: a.jsonl", "pairs: a.jsonl"), "utf-8")
    assert loaded(tmp_path).data.columns.anchor == "query"


def test_an_unreadable_file_is_skipped_with_a_note(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    assert any(note.startswith("skipped bad.parquet: ") for note in starter(tmp_path).notes)


def test_a_file_with_other_columns_is_skipped_with_a_note(tmp_path):
    write(tmp_path / "log.jsonl", [{"level": "info"}])
    assert "skipped log.jsonl: neither pairs nor a corpus (columns: level)" in starter(tmp_path).notes


def test_an_absent_folder_is_made_with_a_config_to_fill_in(tmp_path):
    made = starter(tmp_path / "new")
    assert made.incomplete
    assert "FILL IN" in made.path.read_text("utf-8")
    assert loaded(tmp_path / "new").data.pairs == str(tmp_path / "new" / "pairs.jsonl")


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
    starter(tmp_path / "new", model="my-model")
    assert loaded(tmp_path / "new").embed.model == str(tmp_path / "my-model")


def test_names_that_yaml_would_read_otherwise_are_quoted(tmp_path):
    write(tmp_path / "0: my pairs #1.jsonl", [{"anchor": "q", "positive": "p"}])
    starter(tmp_path)
    assert loaded(tmp_path).data.pairs == str(tmp_path / "0: my pairs #1.jsonl")


def test_the_command_prints_notes_on_stderr_and_the_next_step(tmp_path, call):
    write(tmp_path / "pairs.jsonl", [{"anchor": "q", "positive": "p"}])
    shown = call("init", str(tmp_path))
    path = tmp_path / "negmine.yaml"
    assert shown.out == f"wrote {path}\nnext: negmine run -c {path}\n"
    assert shown.err.startswith("pairs: pairs.jsonl")


def test_the_command_refuses_to_overwrite_with_exit_2(project, call):
    assert call("init").code == 2


def test_the_config_it_writes_runs(project, call):
    (project / "negmine.yaml").unlink()
    call("init")
    vectors = "{corpus: corpus.npy, queries: queries.npy}"
    assert call("run", "-q", "--set", "embed.model=null", "--set", f"embed.vectors={vectors}").code == 0
