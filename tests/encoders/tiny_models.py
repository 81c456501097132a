"""Small models made on the spot, with random but fixed weights."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

TEXTS = [
    "Parcels are scanned at the dock before the driver leaves.",
    "The refund is paid within five days",
    "dock",
    "How long do refunds take?",
    "A password has twelve letters or more, and is changed when it has leaked somewhere else.",
    "wifi for guests",
    "Trucks may book a slot at the dock up to two weeks ahead; late ones lose it.",
]


def vocabulary() -> dict[str, int]:
    """Every printable character as a word piece, so that no text is unknown."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *string.digits, *".,;?!'-"]
    return {piece: i for i, piece in enumerate([*pieces, *letters, *(f"##{letter}" for letter in letters)])}


def static_modules(seed: int = 0, dimension: int = 16) -> list[Any]:
    import torch
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocab = vocabulary()
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    weights = torch.randn(len(vocab), dimension, generator=torch.Generator().manual_seed(seed))
    return [StaticEmbedding(tokenizer, embedding_weights=weights)]


def save_static(folder: Path, *, seed: int = 0, dimension: int = 16, **settings: Any) -> Path:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(modules=static_modules(seed, dimension), device="cpu", **settings)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def save_plain_bert(folder: Path, *, seed: int = 0, **config: Any) -> Path:
    """A transformers folder, without anything of Sentence Transformers."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = vocabulary()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=128, **sizes, **config))
    with torch.no_grad():  # as large as trained weights, so that order of words and precision matter
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.mul_(8 if "embeddings" in name else 4)
    model.save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def save_bert(folder: Path, *, seed: int = 0, max_seq_length: int = 128, **settings: Any) -> Path:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    plain = save_plain_bert(folder.with_name(folder.name + "-plain"), seed=seed)
    reader = Transformer(str(plain), max_seq_length=max_seq_length)
    model = SentenceTransformer(modules=[reader, Pooling(32, "mean")], device="cpu", **settings)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def save_router(folder: Path) -> Path:
    """Static vectors for queries, a transformer for documents."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Router, Transformer

    plain = save_plain_bert(folder.with_name(folder.name + "-plain"), seed=3)
    router = Router.for_query_document(
        query_modules=static_modules(4, 32), document_modules=[Transformer(str(plain)), Pooling(32, "mean")]
    )
    SentenceTransformer(modules=[router], device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def save_cross_encoder(folder: Path, *, seed: int = 0, outputs: int = 1) -> Path:
    import torch
    from sentence_transformers import CrossEncoder

    plain = save_plain_bert(folder.with_name(folder.name + "-plain"), seed=seed)
    model = CrossEncoder(str(plain), num_labels=outputs, device="cpu")
    draw = torch.Generator().manual_seed(seed)
    head = model.model.classifier
    head.weight.data.normal_(0, 40, generator=draw)  # scores that differ by more than rounding, around zero
    pairs = [(query, passage) for query in TEXTS[:3] for passage in TEXTS]
    head.bias.data -= torch.tensor(model.predict(pairs, activation_fn=torch.nn.Identity())).mean(dim=0)
    model.save_pretrained(str(folder))
    return folder


def save_splade(folder: Path, *, seed: int = 0, **settings: Any) -> Path:
    """A SPLADE-like sparse encoder: about a tenth of the vocabulary has a weight in a text."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    plain = folder.with_name(folder.name + "-plain")
    plain.mkdir(parents=True, exist_ok=True)
    words = vocabulary()
    (plain / "vocab.txt").write_text("\n".join(words) + "\n")
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForMaskedLM(BertConfig(vocab_size=len(words), max_position_embeddings=128, **sizes))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.mul_(8 if "embeddings" in name else 4)
        model.cls.predictions.bias.fill_(-1.8)
    model.save_pretrained(plain)
    BertTokenizerFast(str(plain / "vocab.txt")).save_pretrained(plain)
    modules = [Transformer(str(plain), transformer_task="fill-mask", max_seq_length=128), SpladePooling("max")]
    SparseEncoder(modules=modules, device="cpu", **settings).save_pretrained(str(folder))
    return folder
