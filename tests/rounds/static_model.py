"""A model of Sentence Transformers that is small and real: a vector for each word."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

TOPICS, DETAILS, QUERIES = 6, 20, 150
CONFIG = """\
work_dir: work
threads: 1
data: {pairs: pairs.jsonl, corpus: corpus.jsonl}
embed: {model: ./models/words, device: cpu}
mine: {k: 20}
filter: {num_negatives: 2}
evaluate: {steps: 24, batch_size: 16, learning_rates: [0.03], checkpoints: 2, dev: 0.25}
"""


def write_project(folder: Path) -> Path:
    """Data whose words a student can learn, a model of random vectors, and a config; the config's path."""
    draw = random.Random(5)
    fillers = [f"filler{n}" for n in range(40)]
    corpus = [
        f"topic{n % TOPICS} detail{n // TOPICS} " + " ".join(draw.choices(fillers, k=6))
        for n in range(TOPICS * DETAILS)
    ]
    pairs = []
    for n in range(QUERIES):
        p = n % len(corpus)
        words = [f"topic{p % TOPICS}", f"detail{p // TOPICS}", *draw.choices(fillers, k=4)]
        pairs.append({"query_id": f"q{n}", "anchor": f"ask{n} {' '.join(words)}", "positive": corpus[p]})
    rows = [{"_id": f"d{n}", "text": text} for n, text in enumerate(corpus)]
    for name, lines in (("corpus", rows), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [f"topic{n}" for n in range(TOPICS)] + [f"detail{n}" for n in range(DETAILS)] + fillers
    save_model(folder / "models" / "words", words)
    (folder / "negmine.yaml").write_text(CONFIG)
    return folder / "negmine.yaml"


def save_model(folder: Path, words: list[str]) -> None:
    """A StaticEmbedding of random vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.random.default_rng(2).standard_normal((len(words) + 1, 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=vectors)], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
