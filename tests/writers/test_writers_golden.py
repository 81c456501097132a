"""The bytes of every format, written down by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_data import export

from negmine.writers import FORMATS

EXPORTS = (
    {"format": "triplet", "file": "triplet.jsonl"},
    {"format": "triplet", "file": "triplet-scores.jsonl", "scores": True},
    {"format": "n-tuple", "file": "n-tuple.jsonl"},
    {"format": "labeled-pair", "file": "pair.jsonl"},
    {"format": "labeled-list", "file": "list.jsonl"},
    {"format": "margin-mse", "file": "margin.jsonl"},
    {"format": "ids", "file": "ids/"},
    {"format": "flagembedding", "file": "fe.jsonl", "scores": True, "prompt": "Find:", "type": "normal"},
    {"format": "tevatron", "file": "tevatron.jsonl", "scores": True},
    {"format": "tevatron-ids", "file": "sub/tevatron"},
    {"format": "nemo", "file": "nemo/"},
    {"format": "beir", "file": "beir"},
    {"format": "ms-swift", "file": "swift.jsonl", "one_positive_per_row": False},
    {"format": "trec-run", "file": "negatives.trec"},
)
P1, P2, P3 = '"Tides The moon \\"pulls\\"."', '"Ebb\\tand flow"', '"Sun Солнце 🌞"'
P4, P5, P6 = '"A\\nstar"', '"Red"', '"مرحبا"'
D1 = '{"docid":"d1","title":"Tides","text":"The moon \\"pulls\\".","score":9.0}'
D2 = '{"docid":"d2","title":"","text":"Ebb\\tand flow","score":8.0}'
D3 = '{"docid":"d3","title":"Sun","text":"Солнце 🌞","score":%s}'
D4 = '{"docid":"d4","title":"","text":"A\\nstar","score":4.5}'
D5 = '{"docid":"d5","title":"Red","text":"","score":6.0}'
D6 = '{"docid":"d6","title":"","text":"مرحبا","score":3.25}'
CORPUS_ID = "CORPUS-ID"

GOLDEN = {
    "triplet.jsonl": f"""\
{{"anchor":"moon?","positive":{P1},"negative":{P3}}}
{{"anchor":"moon?","positive":{P1},"negative":{P4}}}
{{"anchor":"moon?","positive":{P2},"negative":{P3}}}
{{"anchor":"moon?","positive":{P2},"negative":{P4}}}
{{"anchor":"sun?","positive":{P3},"negative":{P5}}}
{{"anchor":"sun?","positive":{P3},"negative":{P6}}}
""",
    "triplet-scores.jsonl": f"""\
{{"anchor":"moon?","positive":{P1},"negative":{P3},"scores":[9.0,5.0]}}
{{"anchor":"moon?","positive":{P1},"negative":{P4},"scores":[9.0,4.5]}}
{{"anchor":"moon?","positive":{P2},"negative":{P3},"scores":[8.0,5.0]}}
{{"anchor":"moon?","positive":{P2},"negative":{P4},"scores":[8.0,4.5]}}
{{"anchor":"sun?","positive":{P3},"negative":{P5},"scores":[9.0,6.0]}}
{{"anchor":"sun?","positive":{P3},"negative":{P6},"scores":[9.0,3.25]}}
""",
    "n-tuple.jsonl": f"""\
{{"anchor":"moon?","positive":{P1},"negative_1":{P3},"negative_2":{P4}}}
{{"anchor":"moon?","positive":{P2},"negative_1":{P3},"negative_2":{P4}}}
{{"anchor":"sun?","positive":{P3},"negative_1":{P5},"negative_2":{P6}}}
""",
    "pair.jsonl": f"""\
{{"anchor":"moon?","text":{P1},"label":1}}
{{"anchor":"moon?","text":{P2},"label":1}}
{{"anchor":"moon?","text":{P3},"label":0}}
{{"anchor":"moon?","text":{P4},"label":0}}
{{"anchor":"sun?","text":{P3},"label":1}}
{{"anchor":"sun?","text":{P5},"label":0}}
{{"anchor":"sun?","text":{P6},"label":0}}
{{"anchor":"star?","text":{P4},"label":1}}
""",
    "list.jsonl": f"""\
{{"anchor":"moon?","documents":[{P1},{P3},{P4}],"labels":[1,0,0]}}
{{"anchor":"moon?","documents":[{P2},{P3},{P4}],"labels":[1,0,0]}}
{{"anchor":"sun?","documents":[{P3},{P5},{P6}],"labels":[1,0,0]}}
""",
    "margin.jsonl": f"""\
{{"anchor":"moon?","positive":{P1},"negative":{P3},"label":4.0}}
{{"anchor":"moon?","positive":{P1},"negative":{P4},"label":4.5}}
{{"anchor":"moon?","positive":{P2},"negative":{P3},"label":3.0}}
{{"anchor":"moon?","positive":{P2},"negative":{P4},"label":3.5}}
{{"anchor":"sun?","positive":{P3},"negative":{P5},"label":3.0}}
{{"anchor":"sun?","positive":{P3},"negative":{P6},"label":5.75}}
""",
    "ids/train.jsonl": """\
{"query_id":"q1","document_ids":["d1","d3","d4"],"scores":[9.0,5.0,4.5]}
{"query_id":"q1","document_ids":["d2","d3","d4"],"scores":[8.0,5.0,4.5]}
{"query_id":"q2","document_ids":["d3","d5","d6"],"scores":[9.0,6.0,3.25]}
""",
    "ids/queries.jsonl": '{"query_id":"q1","text":"moon?"}\n{"query_id":"q2","text":"sun?"}\n',
    "ids/documents.jsonl": "".join(
        f'{{"document_id":"d{n}","text":{text}}}\n' for n, text in enumerate((P1, P2, P3, P4, P5, P6), 1)
    ),
    "fe.jsonl": f"""\
{{"query":"moon?","pos":[{P1},{P2}],"neg":[{P3},{P4}],"pos_scores":[9.0,8.0],"neg_scores":[5.0,4.5],"prompt":"Find:","type":"normal"}}
{{"query":"sun?","pos":[{P3}],"neg":[{P5},{P6}],"pos_scores":[9.0],"neg_scores":[6.0,3.25],"prompt":"Find:","type":"normal"}}
""",
    "tevatron.jsonl": f"""\
{{"query_id":"q1","query":"moon?","positive_passages":[{D1},{D2}],"negative_passages":[{D3 % "5.0"},{D4}]}}
{{"query_id":"q2","query":"sun?","positive_passages":[{D3 % "9.0"}],"negative_passages":[{D5},{D6}]}}
""",
    "sub/tevatron/train.jsonl": """\
{"query_id":"q1","query_text":"moon?","positive_document_ids":["d1","d2"],"negative_document_ids":["d3","d4"]}
{"query_id":"q2","query_text":"sun?","positive_document_ids":["d3"],"negative_document_ids":["d5","d6"]}
""",
    "sub/tevatron/corpus.jsonl": "".join(
        f'{{"docid":"d{n}","text":{text}}}\n' for n, text in enumerate((P1, P2, P3, P4, P5, P6), 1)
    ),
    "nemo/train.json": f"""\
{{"corpus": [{{"path": "corpus"}}], "data": [
{{"question_id":"q1","question":"moon?","corpus_id":"{CORPUS_ID}","pos_doc":[{{"id":"d1"}},{{"id":"d2"}}],"neg_doc":[{{"id":"d3"}},{{"id":"d4"}}]}},
{{"question_id":"q2","question":"sun?","corpus_id":"{CORPUS_ID}","pos_doc":[{{"id":"d3"}}],"neg_doc":[{{"id":"d5"}},{{"id":"d6"}}]}}
]}}
""",
    "nemo/corpus/merlin_metadata.json": f'{{"class": "TextQADataset", "corpus_id": "{CORPUS_ID}"}}\n',
    "beir/corpus.jsonl": """\
{"_id":"d1","title":"Tides","text":"The moon \\"pulls\\"."}
{"_id":"d2","title":"","text":"Ebb\\tand flow"}
{"_id":"d3","title":"Sun","text":"Солнце 🌞"}
{"_id":"d4","title":"","text":"A\\nstar"}
{"_id":"d5","title":"Red","text":""}
{"_id":"d6","title":"","text":"مرحبا"}
""",
    "beir/queries.jsonl": """\
{"_id":"q1","text":"moon?"}
{"_id":"q2","text":"sun?"}
{"_id":"q3","text":"star?"}
""",
    "beir/qrels/train.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t1\nq2\td3\t1\nq3\td4\t1\n",
    "beir/hard-negatives.jsonl": """\
{"qid":"q1","pos":["d1","d2"],"neg":{"dense":["d3","d4"]}}
{"qid":"q2","pos":["d3"],"neg":{"dense":["d5","d6"]}}
""",
    "swift.jsonl": f"""\
{{"messages":[{{"role":"user","content":"moon?"}}],"positive_messages":[[{{"role":"user","content":{P1}}}],[{{"role":"user","content":{P2}}}]],"negative_messages":[[{{"role":"user","content":{P3}}}],[{{"role":"user","content":{P4}}}]]}}
{{"messages":[{{"role":"user","content":"sun?"}}],"positive_messages":[[{{"role":"user","content":{P3}}}]],"negative_messages":[[{{"role":"user","content":{P5}}}],[{{"role":"user","content":{P6}}}]]}}
""",
    "negatives.trec": """\
q1 Q0 d3 1 5.0 negmine
q1 Q0 d4 2 4.5 negmine
q2 Q0 d5 1 6.0 negmine
q2 Q0 d6 2 3.25 negmine
""",
}
BINARY = {"nemo/corpus/train.parquet", "provenance.parquet", "scores.png", "README.md", "manifest.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("golden")
    export(place, *EXPORTS)
    return place / "run" / "export"


def test_every_format_is_written_down() -> None:
    assert {entry["format"] for entry in EXPORTS} == set(FORMATS)


def test_there_are_no_other_files(folder: Path) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found - {"scores.png"} == set(GOLDEN) | BINARY - {"scores.png"}


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_the_bytes_are_these(folder: Path, name: str) -> None:
    corpus_id = json.loads((folder / "nemo/corpus/merlin_metadata.json").read_text())["corpus_id"]
    assert (folder / name).read_bytes().decode("utf-8") == GOLDEN[name].replace(CORPUS_ID, corpus_id)


def test_the_corpus_of_nemo_holds_the_texts(folder: Path) -> None:
    found = pq.read_table(folder / "nemo/corpus/train.parquet").to_pylist()
    assert found == [
        {"id": f"d{n}", "text": json.loads(text)} for n, text in enumerate((P1, P2, P3, P4, P5, P6), start=1)
    ]


def test_the_corpus_of_nemo_has_an_id_of_its_own(folder: Path) -> None:
    """Corpora with the same id and other paths are refused when they are trained on together."""
    assert json.loads((folder / "nemo/corpus/merlin_metadata.json").read_text())["corpus_id"].startswith("nemo-")


def test_provenance_names_the_rows_of_the_main_files(folder: Path) -> None:
    rows = pq.read_table(folder / "provenance.parquet").to_pylist()
    by_file: dict[str, list[dict]] = {}
    for row in rows:
        by_file.setdefault(row["file"], []).append(row)
    assert {name: [row["row"] for row in found] for name, found in by_file.items()} == {
        name: list(range(len(GOLDEN[name].splitlines()) - (2 if name.endswith(".json") else 0)))
        for name in (
            "triplet.jsonl", "triplet-scores.jsonl", "n-tuple.jsonl", "pair.jsonl", "list.jsonl", "margin.jsonl",
            "ids/train.jsonl", "fe.jsonl", "tevatron.jsonl", "sub/tevatron/train.jsonl", "nemo/train.json",
            "beir/hard-negatives.jsonl", "swift.jsonl", "negatives.trec",
        )
    }  # fmt: skip
    assert by_file["fe.jsonl"][0] == {
        "file": "fe.jsonl",
        "row": 0,
        "query_id": "q1",
        "positive_ids": ["d1", "d2"],
        "negative_ids": ["d3", "d4"],
        "retrievers": ["dense", "dense"],
        "ranks": [3, 4],
        "positive_scores": [9.0, 8.0],
        "negative_scores": [5.0, 4.5],
    }
    assert by_file["negatives.trec"][3]["positive_ids"] == []
