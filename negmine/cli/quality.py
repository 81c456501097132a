"""What ingest found out about the data, as a table and as warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.cli.console import Console

_SHOWN = 4
"""Scripts and languages that are named, the most frequent."""
_BLANK, _MERGED, _TRUNCATED = 0.01, 0.2, 0.05
"""Shares above which a warning is due."""


def show_quality(console: Console, quality: Mapping[str, Any]) -> None:
    """A table of queries and passages, and a line about the pairs."""
    queries, passages = quality["queries"], quality["passages"]
    guarded = quality["guarded"]
    left = {"guarded": guarded["queries"]}
    right = {"blank": passages["blank"], "guarded": guarded["passages"], "documents in chunks": passages["cut"]}
    console.table(
        ["data", "queries~", "passages~"],
        [
            ["distinct", _count(queries, left), _count(passages, right)],
            ["characters", _numbers(queries["characters"]), _numbers(passages["characters"])],
            ["scripts", _shares(queries["scripts"]), _shares(passages["scripts"])],
            ["languages", _shares(queries["languages"]), _shares(passages["languages"])],
        ],
    )
    pairs = quality["pairs"]
    console.line(f"{pairs['count']:,} pairs, of a query: {_numbers(pairs['per_query'])}")
    console.line()


def _count(of: Mapping[str, Any], more: Mapping[str, int]) -> str:
    notes = {"merged": of["merged"], **more}
    named = ", ".join(f"{count:,} {name}" for name, count in notes.items() if count)
    return f"{of['count']:,}" + (f" ({named})" if named else "")


def _numbers(values: Mapping[str, int]) -> str:
    names = {"p50": "median", "p90": "90%", "p99": "99%"}
    return ", ".join(f"{names.get(name, name)} {value:,}" for name, value in values.items())


def _shares(shares: Mapping[str, float]) -> str:
    named = [f"{name} {share:.1%}" for name, share in list(shares.items())[:_SHOWN]]
    if len(shares) > _SHOWN:
        named.append(f"{len(shares) - _SHOWN} others {sum(list(shares.values())[_SHOWN:]):.1%}")
    return ", ".join(named)


def data_warnings(quality: Mapping[str, Any]) -> Iterator[str]:
    """What is likely a mistake in the data."""
    queries, passages, pairs = quality["queries"], quality["passages"], quality["pairs"]
    if passages["blank"] > _BLANK * (passages["documents"] + passages["blank"]):
        share = passages["blank"] / (passages["documents"] + passages["blank"])
        yield f"{passages['blank']:,} documents ({share:.1%}) have no text and were left out: check data.columns"
    merged = passages["merged"] + passages["ids_merged"]
    if merged > _MERGED * (passages["count"] + merged):
        share = merged / (passages["count"] + merged)
        yield f"{merged:,} documents ({share:.1%}) say what another one says; each text is one passage"
    if pairs["repeated"] > _MERGED * (pairs["count"] + pairs["repeated"]):
        share = pairs["repeated"] / (pairs["count"] + pairs["repeated"])
        yield f"{pairs['repeated']:,} pairs ({share:.1%}) are repetitions; each counts once"
    if queries["also_passages"]:
        yield (
            f"{queries['also_passages']:,} of {queries['count']:,} queries say what a passage says; such a passage is"
            " never their negative"
        )


def truncation_warnings(counts: Mapping[str, int], totals: Mapping[str, int]) -> Iterator[str]:
    """Of what kind of texts the model does not read too many to the end: ``counts`` of embed, ``totals`` of ingest."""
    for kind, total in (("passages", totals["passages"]), ("queries", totals["distinct_queries"])):
        cut = counts.get(f"truncated_{kind}", 0)
        if cut > _TRUNCATED * total:
            remedy = "data.long_documents: chunk, or raise embed.max_seq_length" if kind == "passages" else ""
            yield (
                f"{cut:,} of {total:,} {kind} ({cut / total:.1%}) are longer than the model reads: their ends are not"
                f" in the vectors. Set {remedy or 'embed.max_seq_length, as far as the model allows'}"
            )
