"""A small run with texts that break careless pages: markup, templates, scripts of the world, long and odd ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import negmine

QUERIES, PASSAGES, K, NEGATIVES = 60, 90, 12, 3
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked=2'>"
ODD_ID = "q/<b>&\"'%20 #é"
TEXTS = {
    0: f"how to end {HOSTILE} a page",
    1: "{{ 7 * 7 }} {% raw %} <!-- & &amp; ${alert(1)}",
    2: "كيف أعيد تعيين كلمة المرور",
    3: "如何重置我的密码",
    4: "パスワードをリセットする方法",
    5: "איך מאפסים סיסמה",
    6: "😀 emoji reset \u2028 line \u0000".replace("\u0000", ""),
}
ANSWERS = {
    0: f"a page ends with {HOSTILE} indeed",
    2: "لإعادة تعيين كلمة المرور افتح الإعدادات",
    3: "要重置密码请打开设置",
    4: "リセットするには設定を開く",
    5: "כדי לאפס סיסמה פתחו הגדרות",
    6: "😀 the emoji says how to reset",
    7: "x" * 400 + " " + "long " * 400,
}


def make(folder: Path) -> Path:
    """Write the data; every third query has a second positive, and two documents share a text."""
    random = np.random.default_rng(3)
    corpus = random.standard_normal((PASSAGES, 10)).astype(np.float32)
    corpus[1::3] = corpus[::3] + 0.4 * random.standard_normal((PASSAGES // 3, 10)).astype(np.float32)
    first = np.arange(QUERIES) % PASSAGES
    queries = corpus[first] + 0.9 * random.standard_normal((QUERIES, 10)).astype(np.float32)
    ids = [ODD_ID if q == 1 else f"q{q}" for q in range(QUERIES)]
    pq.write_table(pa.table({"query_id": ids, "vector": list(queries)}), folder / "q.parquet")
    np.save(folder / "c.npy", corpus)
    words = ["apply", "bill", "cancel", "deliver", "enter", "find", "grant", "hold", "invoice", "join", "keep"]
    texts = [ANSWERS.get(p, " ".join(random.choice(words, 9)) + f" number {p}") for p in range(PASSAGES)]
    texts[80] = texts[81]
    rows(folder / "corpus.jsonl", [{"_id": f"d{p}", "text": texts[p]} for p in range(PASSAGES)])
    asked = [TEXTS.get(q, f"{words[q % 11]} {words[q * 7 % 11]} number {q}") for q in range(QUERIES)]
    pairs = [(q, p) for q in range(QUERIES) for p in (int(first[q]), *([int(first[q]) + 1] if q % 3 == 0 else []))]
    rows(folder / "pairs.jsonl", [{"query_id": ids[q], "anchor": asked[q], "positive_id": f"d{p}"} for q, p in pairs])
    return folder


def rows(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


def config(folder: Path, **more: Any) -> negmine.Config:
    """Its config: a margin that leaves some queries short."""
    return negmine.config_from_dict(
        {
            "work_dir": "run",
            "data": {"pairs": "pairs.jsonl", "corpus": "corpus.jsonl"},
            "embed": {"vectors": {"corpus": "c.npy", "queries": "q.parquet"}},
            "mine": {"k": K, "part_queries": 25},
            "filter": {"num_negatives": NEGATIVES, "risk": {"max": 0.3}, "relative_margin": 0.1},
            "pairs": {"max_rank": 3},
            **more,
        },
        folder,
    )
