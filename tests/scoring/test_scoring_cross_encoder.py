"""A pair's score is the model's own, whatever it is scored together with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from negmine.encoders.model_check import CROSS_ENCODER, check_model
from negmine.scoring.base import sigmoid
from negmine.scoring.cross_encoder import CrossEncoderScorer, Settings

WORDS = ["dock", "parcel", "refund", "truck", "slot", "password", "guest", "scan", "Ünïcode", "?"]
FEW = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def texts(count: int, seed: int, longest: int = 24) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, rng.integers(0, longest))) for _ in range(count)]


QUERIES, PASSAGES = texts(12, 0, 5), texts(40, 1)


def scores_of(scorer: CrossEncoderScorer, of_query: np.ndarray, of_passage: np.ndarray) -> np.ndarray:
    done: list[int] = []
    found = scorer.score(QUERIES, PASSAGES, of_query, of_passage, done.append)
    assert sum(done) == len(of_query)
    return found


@pytest.fixture(scope="module")
def scorer(model: Path) -> CrossEncoderScorer:
    return CrossEncoderScorer(model, Settings(device="cpu", threads=1))


@pytest.fixture(scope="module")
def everything(scorer: CrossEncoderScorer) -> np.ndarray:
    """The score of every pair of a query and a passage."""
    query, passage = np.divmod(np.arange(len(QUERIES) * len(PASSAGES)), len(PASSAGES))
    return scores_of(scorer, query, passage).reshape(len(QUERIES), len(PASSAGES))


@pytest.mark.parametrize("own", [True, False])
def test_scores_are_those_that_predict_gives_to_each_pair_alone(model: Path, own: bool) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    there = CrossEncoder(str(model), device="cpu")
    passage = np.arange(len(PASSAGES))
    query = passage % len(QUERIES)
    scorer = CrossEncoderScorer(model, Settings(device="cpu", sigmoid=own))
    last = torch.nn.Sigmoid() if own else torch.nn.Identity()
    alone = [
        there.predict([(QUERIES[q], PASSAGES[p])], activation_fn=last)[0] for q, p in zip(query, passage, strict=True)
    ]
    found = scores_of(scorer, query, passage)
    np.testing.assert_allclose(found, alone, atol=2e-4)
    assert found.std() > 1e-3


@given(st.data())
@FEW
def test_a_score_does_not_depend_on_its_company(
    scorer: CrossEncoderScorer, everything: np.ndarray, data: st.DataObject
) -> None:
    """In every bit: what is scored anew after a change equals what a run from nothing has."""
    chosen = data.draw(st.lists(st.integers(0, everything.size - 1), min_size=1, max_size=60, unique=True))
    query, passage = np.divmod(np.array(chosen), len(PASSAGES))
    assert np.array_equal(scores_of(scorer, query, passage), everything[query, passage])


def test_the_size_of_batches_changes_no_score(model: Path, everything: np.ndarray) -> None:
    few = CrossEncoderScorer(model, Settings(device="cpu", batch_size=3, threads=1))
    query, passage = np.divmod(np.arange(everything.size), len(PASSAGES))
    assert np.array_equal(scores_of(few, query, passage), everything.ravel())


def test_max_length_cuts_pairs(model: Path) -> None:
    cut = CrossEncoderScorer(model, Settings(device="cpu", max_length=16))
    long = ["dock parcel refund truck slot", "dock parcel refund truck slot password guest"]
    same = cut.score(["dock dock"], long, np.zeros(2, int), np.arange(2), lambda pairs: None)
    assert same[0] == same[1]
    with pytest.raises(Exception, match=r"rerank\.max_length: it is 4096 but the model has positions for 128"):
        CrossEncoderScorer(model, Settings(device="cpu", max_length=4096))


def test_the_prompt_stands_before_the_query(model: Path) -> None:
    prompted = CrossEncoderScorer(model, Settings(device="cpu", query_prompt="find: "))
    plain = CrossEncoderScorer(model, Settings(device="cpu"))
    zero = np.zeros(1, int)
    found = prompted.score(["dock"], ["scan"], zero, zero, lambda pairs: None)
    assert found == plain.score(["find: dock"], ["scan"], zero, zero, lambda pairs: None)
    assert found != plain.score(["dock"], ["scan"], zero, zero, lambda pairs: None)


def test_the_sigmoid_keeps_apart_what_float32_would_not() -> None:
    logits = np.array([-800.0, -30.0, 0.0, 20.0, 21.0, 800.0])
    found = sigmoid(logits)
    assert found.tolist() == sorted(found)
    assert found[2] == 0.5
    assert found[3] < found[4] < found[5] == 1.0
    assert found[0] >= 0


def test_a_model_that_is_no_reranker_is_refused(tmp_path: Path, fails: Callable[..., Any]) -> None:
    classes = tiny_models.save_cross_encoder(tmp_path / "classes", outputs=3)
    with fails("gives 3 numbers for a pair"):
        CrossEncoderScorer(classes, Settings(device="cpu"))
    embedding = tiny_models.save_bert(tmp_path / "bert")
    with fails("this is a SentenceTransformer and not a cross-encoder"):
        check_model(embedding, kind=CROSS_ENCODER)
    with fails("lack . weights of a cross-encoder.*classifier"):
        CrossEncoderScorer(tiny_models.save_plain_bert(tmp_path / "plain"), Settings(device="cpu"))


def test_a_reranker_is_no_embedding_model(model: Path, tmp_path: Path, fails: Callable[..., Any]) -> None:
    with fails("this is a CrossEncoder and not an embedding model"):
        check_model(model)
    old = tmp_path / "old"  # saved by a version that did not say which kind it is
    shutil.copytree(model, old)
    (old / "config_sentence_transformers.json").unlink()
    (old / "modules.json").unlink()
    check_model(old, kind=CROSS_ENCODER)


def test_nan_names_the_pair(model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["classifier.bias"] = np.full(1, np.nan, np.float32)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    scorer = CrossEncoderScorer(broken, Settings(device="cpu"))
    with pytest.raises(Exception, match="got NaN or Infinity from the model"):
        scores_of(scorer, np.zeros(2, int), np.arange(2))
