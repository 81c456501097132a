"""Sentence Transformers trains on the exports: real steps of its trainers, with the rows it was given looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, load_dataset
from sample import NEGATIVES, Group
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
    SparseEncoder,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.cross_encoder import losses as reranking
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from sentence_transformers.sparse_encoder import losses as sparse
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling
from sentence_transformers.util import resolve_ids

LABELS = ("label", "labels", "score", "scores")
STEPS, BATCH = 3, 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The models are tiny, and other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Recorder:
    """A collator that remembers the rows it was given."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator
        self.rows: list[dict[str, Any]] = []

    def __call__(self, features: list[dict[str, Any]]) -> Any:
        self.rows += features
        return self.collator(features)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collator, name)


def positional(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row as the losses see it: texts by position, then the label."""
    texts = [value for name, value in row.items() if name not in LABELS]
    return tuple(_frozen(value) for value in (*texts, *(row[name] for name in LABELS if name in row)))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def load(exported: Path, name: str) -> Dataset:
    return load_dataset("json", data_files=str(exported / name), split="train", cache_dir=str(exported.parent / "hf"))


def train(trainer: Any, arguments: Any, model: Any, data: Dataset, loss: Any, folder: Path) -> list[tuple[Any, ...]]:
    """Takes real optimisation steps; the rows that were trained on."""
    before = [weights.detach().clone() for weights in model.parameters()]
    settings = arguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        learning_rate=1e-3,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
    )
    running = trainer(model=model, args=settings, train_dataset=data, loss=loss)
    running.data_collator = recorder = Recorder(running.data_collator)
    result = running.train()
    assert result.global_step == STEPS
    assert torch.isfinite(torch.tensor(result.training_loss))
    after = list(model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(torch.isfinite(new).all() for new in after)
    return [positional(row) for row in recorder.rows]


def bi_encoder(plain: Path) -> SentenceTransformer:
    return SentenceTransformer(modules=[Transformer(str(plain), max_seq_length=64), Pooling(32, "mean")], device="cpu")


def triplets(groups: list[Group]) -> list[tuple[Any, ...]]:
    return [(g.text, p.whole, n.whole) for g in groups for p in g.positives for n in g.negatives]


def tuples(groups: list[Group]) -> list[tuple[Any, ...]]:
    return [
        (g.text, p.whole, *(n.whole for n in g.negatives))
        for g in groups
        for p in g.positives
        if len(g.negatives) == NEGATIVES
    ]


def pairs(groups: list[Group], *, scores: bool = False) -> list[tuple[Any, ...]]:
    return [
        (g.text, passage.whole, passage.score if scores else label)
        for g in groups
        for label, passages in ((1, g.positives), (0, g.negatives))
        for passage in passages
    ]


def lists(groups: list[Group], *, scores: bool = False) -> list[tuple[Any, ...]]:
    return [
        (
            g.text,
            (p.whole, *(n.whole for n in g.negatives)),
            (p.score, *(n.score for n in g.negatives)) if scores else (1, *(0 for _ in g.negatives)),
        )
        for g in groups
        for p in g.positives
        if g.negatives
    ]


def margins(groups: list[Group]) -> list[tuple[Any, ...]]:
    return [
        (g.text, p.whole, n.whole, pytest.approx(p.score - n.score, abs=1e-12))
        for g in groups
        for p in g.positives
        for n in g.negatives
    ]


def scored_tuples(groups: list[Group]) -> list[tuple[Any, ...]]:
    return [
        (g.text, p.whole, *(n.whole for n in g.negatives), (p.score, *(n.score for n in g.negatives)))
        for g in groups
        for p in g.positives
        if len(g.negatives) == NEGATIVES
    ]


EMBEDDING = {
    "triplet MNRL": ("triplet.jsonl", triplets, losses.MultipleNegativesRankingLoss),
    "triplet TripletLoss": ("triplet.jsonl", triplets, losses.TripletLoss),
    "triplet cached MNRL": (
        "triplet.jsonl",
        triplets,
        lambda model: losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=2),
    ),
    "n-tuple MNRL": ("n-tuple.jsonl", tuples, losses.MultipleNegativesRankingLoss),
    "labeled-pair ContrastiveLoss": ("labeled-pair.jsonl", pairs, losses.ContrastiveLoss),
    "labeled-pair CoSENT": ("labeled-pair-scores.jsonl", lambda g: pairs(g, scores=True), losses.CoSENTLoss),
    "margin-mse one negative": ("margin-mse.jsonl", margins, losses.MarginMSELoss),
    "margin-mse several negatives": ("margin-mse-4.jsonl", scored_tuples, losses.MarginMSELoss),
    "margin-mse DistillKLDiv": ("margin-mse-4.jsonl", scored_tuples, losses.DistillKLDivLoss),
}


def check_rows(data: Dataset, trained: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    """The file has exactly the expected rows, in order, and training saw rows of the file and nothing else."""
    rows = [positional(row) for row in data]
    assert rows == expected
    assert len(trained) >= STEPS * BATCH
    assert set(trained) <= set(rows)


@pytest.mark.parametrize("case", EMBEDDING)
def test_embedding_models_train(
    case: str, exported: Path, groups: list[Group], plain_model: Path, tmp_path: Path
) -> None:
    name, expected, make_loss = EMBEDDING[case]
    data, model = load(exported, name), bi_encoder(plain_model)
    arguments = SentenceTransformerTrainingArguments
    trained = train(SentenceTransformerTrainer, arguments, model, data, make_loss(model), tmp_path)
    check_rows(data, trained, expected(groups))


RERANKING = {
    "labeled-pair BCE": ("labeled-pair.jsonl", pairs, reranking.BinaryCrossEntropyLoss),
    "labeled-list LambdaLoss": ("labeled-list.jsonl", lists, reranking.LambdaLoss),
    "labeled-list ListNet": ("labeled-list.jsonl", lists, reranking.ListNetLoss),
    "labeled-list RankNet": ("labeled-list.jsonl", lists, reranking.RankNetLoss),
    "labeled-list ListNet scores": (
        "labeled-list-scores.jsonl",
        lambda g: lists(g, scores=True),
        reranking.ListNetLoss,
    ),
    "triplet MNRL": (
        "triplet.jsonl",
        triplets,
        lambda model: reranking.MultipleNegativesRankingLoss(model, num_negatives=None),
    ),
    "n-tuple MNRL": (
        "n-tuple.jsonl",
        tuples,
        lambda model: reranking.MultipleNegativesRankingLoss(model, num_negatives=None),
    ),
}


def reranker(plain: Path) -> CrossEncoder:
    return CrossEncoder(str(plain), num_labels=1, max_length=64, device="cpu")


@pytest.mark.parametrize("case", RERANKING)
def test_rerankers_train(case: str, exported: Path, groups: list[Group], plain_model: Path, tmp_path: Path) -> None:
    name, expected, make_loss = RERANKING[case]
    data, model = load(exported, name), reranker(plain_model)
    trained = train(CrossEncoderTrainer, CrossEncoderTrainingArguments, model, data, make_loss(model), tmp_path)
    check_rows(data, trained, expected(groups))


def splade(model: SparseEncoder, inner: Callable[[SparseEncoder], Any]) -> Any:
    return sparse.SpladeLoss(model, loss=inner(model), document_regularizer_weight=1e-3, query_regularizer_weight=1e-3)


SPARSE = {
    "triplet SPLADE": ("triplet.jsonl", triplets, sparse.SparseMultipleNegativesRankingLoss),
    "n-tuple SPLADE": ("n-tuple.jsonl", tuples, sparse.SparseMultipleNegativesRankingLoss),
    "margin-mse SPLADE": ("margin-mse.jsonl", margins, sparse.SparseMarginMSELoss),
}


@pytest.mark.parametrize("case", SPARSE)
def test_sparse_models_train(case: str, exported: Path, groups: list[Group], plain_model: Path, tmp_path: Path) -> None:
    name, expected, inner = SPARSE[case]
    data = load(exported, name)
    model = SparseEncoder(modules=[MLMTransformer(str(plain_model), max_seq_length=64), SpladePooling()], device="cpu")
    loss = splade(model, inner)
    trained = train(SparseEncoderTrainer, SparseEncoderTrainingArguments, model, data, loss, tmp_path)
    check_rows(data, trained, expected(groups))


def ids(exported: Path) -> tuple[Dataset, Dataset, Dataset]:
    rows, queries, documents = (load(exported, f"ids/{name}.jsonl") for name in ("train", "queries", "documents"))
    return rows, queries, documents


def test_ids_resolve_to_lists_for_rerankers(
    exported: Path, groups: list[Group], plain_model: Path, tmp_path: Path
) -> None:
    """Lists of any length; every id is found."""
    rows, queries, documents = ids(exported)
    rows.set_transform(resolve_ids({"query_id": queries, "document_ids": documents}, output_format="lists"))
    model = reranker(plain_model)
    loss = reranking.ListNetLoss(model)
    trained = train(CrossEncoderTrainer, CrossEncoderTrainingArguments, model, rows, loss, tmp_path)
    check_rows(rows, trained, lists(groups, scores=True))


def test_ids_resolve_to_columns_for_embedding_models(
    exported: Path, groups: list[Group], plain_model: Path, tmp_path: Path
) -> None:
    """A column per document, for rows with all negatives."""
    rows, queries, documents = ids(exported)
    full = rows.filter(lambda row: len(row["document_ids"]) == 1 + NEGATIVES)
    full.set_transform(resolve_ids({"query_id": queries, "document_ids": documents}))
    model = bi_encoder(plain_model)
    arguments = SentenceTransformerTrainingArguments
    trained = train(SentenceTransformerTrainer, arguments, model, full, losses.DistillKLDivLoss(model), tmp_path)
    check_rows(full, trained, scored_tuples(groups))
