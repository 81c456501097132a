"""Time and memory of `negmine diff` on two large runs, whose verdicts are drawn at random.

    python -m benchmarks.comparing --queries 200000 --candidates 50

Only what a comparison reads is written: no text of it was embedded or searched. With ``--new-ids`` the second run
has other ids for all its documents, which are then matched by their texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from negmine import schemas
from negmine.store.manifest import Manifest, Part
from negmine.store.tables import TableWriter

PASSAGES = 500_000
NEGATIVES = 5
_PART = 4096


def write_run(root: Path, seed: int, queries: int, candidates: int, first_id: int) -> None:
    """A finished ingest and filter: runs of all seeds have the same candidates, and draw their negatives."""
    for stage in ("ingest", "filter"):
        (root / stage).mkdir(parents=True)
    ids = pa.array([f"doc-{number + first_id:07d}" for number in range(PASSAGES)])
    ingest = [_corpus(root, ids), _queries(root, queries), _positives(root, ids, queries)]
    outputs = {"corpus": f"corpus {first_id}", "queries": "queries"}
    counts = {"distinct_queries": queries, "passages": PASSAGES}
    _save(root, "ingest", seed, ingest, outputs, counts, {})
    parts = [
        _verdicts(root, seed, number, (low, min(low + _PART, queries)), candidates, ids)
        for number, low in enumerate(range(0, queries, _PART))
    ]
    for name, value in (("report", {"reasons": {"kept": queries * NEGATIVES}}), ("calibration", {"model": None})):
        parts.append(root / "filter" / f"{name}.json")
        parts[-1].write_text(json.dumps(value))
    upstream = {f"ingest {name}": digest for name, digest in outputs.items()}
    _save(root, "filter", seed, parts, {"all": f"verdicts {seed}"}, {}, upstream)


def _corpus(root: Path, ids: pa.Array) -> Path:
    path, number = root / "ingest" / "corpus.parquet", np.arange(PASSAGES)
    with TableWriter(path, schemas.corpus()) as table:
        texts = [f"passage number {n} with some words in it" for n in range(PASSAGES)]
        keys = [_key(text) for text in texts]
        numbers = {"passage": number, "id_hash": number.astype(np.uint64), "source_row": number}
        table.write({"doc_id": ids, "text": texts, "title": [""] * PASSAGES, "text_key": keys, **numbers})
    return path


def _queries(root: Path, queries: int) -> Path:
    path, number = root / "ingest" / "queries.parquet", np.arange(queries)
    with TableWriter(path, schemas.QUERIES) as table:
        texts = [f"question {n}" for n in range(queries)]
        numbers = {"query": number, "id_hash": number.astype(np.uint64), "source_row": number}
        names = {"query_id": [f"q{n}" for n in range(queries)], "text_key": [_key(text) for text in texts]}
        table.write({"text": texts, **names, **numbers})
    return path


def _positives(root: Path, ids: pa.Array, queries: int) -> Path:
    path, query = root / "ingest" / "positives.parquet", np.arange(queries)
    with TableWriter(path, schemas.POSITIVES) as table:
        passage = query % PASSAGES
        flags = {"grade": np.ones(queries), "same_text": np.zeros(queries, bool)}
        names = {"query_id": [f"q{n}" for n in range(queries)], "doc_id": ids.take(pa.array(passage))}
        table.write({**names, **flags, "query": query, "passage": passage, "document": passage})
    return path


def _verdicts(root: Path, seed: int, number: int, of: tuple[int, int], candidates: int, ids: pa.Array) -> Path:
    rng, own = np.random.default_rng(number), np.random.default_rng((seed, number))
    count, band = of[1] - of[0], PASSAGES // candidates
    rows = count * candidates
    passage = (rng.integers(0, band, (count, candidates)) + np.arange(candidates) * band).ravel()
    query, score = np.repeat(np.arange(*of), candidates), rng.random(rows)
    place = own.random((count, candidates)).argsort(axis=1).ravel()
    kept = place < NEGATIVES
    retriever = pa.array(["dense"]).take(pa.array(np.zeros(rows, np.int64)))
    offsets, rank = pa.array(np.arange(rows + 1, dtype=np.int32)), np.tile(np.arange(candidates) + 1, count)
    path = root / "filter" / f"part-{number:05d}.parquet"
    with TableWriter(path, schemas.VERDICTS) as table:
        table.write(
            {
                "query_id": pa.array([f"q{n}" for n in range(*of)]).take(pa.array(query - of[0])),
                "doc_id": ids.take(pa.array(passage)),
                "retriever": retriever,
                "rank": rank,
                "score": score,
                "positive_similarity": score,
                "mean_positive_similarity": score,
                "retrievers": pa.ListArray.from_arrays(offsets, retriever),
                "ranks": pa.ListArray.from_arrays(offsets, pa.array(rank, pa.int32())),
                "reference": np.ones(rows),
                "risk": score / 3,
                "verdict": pa.array(["dropped", "kept"]).take(pa.array(kept.astype(int))),
                "reason": pa.array(["not_sampled", "kept"]).take(pa.array(kept.astype(int))),
                "position": pa.array((place + 1).astype(np.int32), mask=~kept),
                "query": query,
                "passage": passage,
            }
        )
    return path


def _save(
    root: Path,
    stage: str,
    seed: int,
    paths: list[Path],
    outputs: dict[str, str],
    counts: dict[str, int],
    upstream: dict[str, str],
) -> None:
    parts = []
    for path in paths:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        parts.append(Part(path.relative_to(root / stage).as_posix(), 0, path.stat().st_size, digest, "drawn"))
    config = {"data.passage_template": "{title} {text}"} if stage == "ingest" else {"filter.seed": seed}
    made_from = {"schema": {"version": schemas.SCHEMA_VERSION}, "config": config, "inputs": {}, "upstream": upstream}
    known = {"tasks": {}, "facts": {}, "seed": seed, "wall_seconds": 0.0, "cpu_seconds": 0.0, "peak_rss_bytes": 0}
    manifest = Manifest(
        stage, f"{stage} {seed}", made_from, tuple(parts), outputs, counts=counts, tool_version="drawn", **known
    )
    manifest.save(root / stage / "manifest.json")


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200_000)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--new-ids", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder) / name for name in "ab"]
        for number, run in enumerate(runs):
            write_run(run, number, asked.queries, asked.candidates, 1000 * number * asked.new_ids)
        started = time.perf_counter()
        words = [sys.executable, "-m", "negmine", "diff", *map(str, runs), "-q"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
        seconds, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    negatives = asked.queries * NEGATIVES
    print(f"{negatives:,} negatives and {asked.queries * asked.candidates:,} candidates in each run:")
    cpu = used.ru_utime + used.ru_stime
    print(f"{seconds:.1f} s, {cpu:.1f} s of the processor, {used.ru_maxrss / 1000:,.0f} MB of memory at most")


if __name__ == "__main__":
    main()
