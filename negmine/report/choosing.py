"""Which queries are on the page: some drawn by the hash of their ids, and those that are worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.report.snapshot import Snapshot
from negmine.report.tally import Tally
from negmine.stages.texts import StandingTable
from negmine.store.files import read_json
from negmine.store.tables import iter_batches, to_numpy

NOTABLE = 20
"""How many queries of each kind that is worth a look are on the page."""
RISKIEST, SHORT, DOUBTFUL = "riskiest", "short", "doubtful"


@dataclass(frozen=True)
class Chosen:
    """A query of the page by number and id, and what it is there for; nothing when it was only drawn."""

    query: int
    query_id: str
    notable: tuple[str, ...]


def choose(snapshot: Snapshot, tally: Tally, most: int) -> list[Chosen]:
    """Those worth a look first, then at most ``most`` drawn ones, in the order of their hashes."""
    table = StandingTable(snapshot.file("ingest", "queries.parquet"), "query")
    drawn = np.argsort(to_numpy(table.column("id_hash")), kind="stable")[:most]
    notable = _notable(snapshot, tally)
    order = list(dict.fromkeys([*notable, *drawn.tolist()]))
    numbers = np.sort(np.array(order, np.int64))
    names = dict(zip(numbers.tolist(), table.take(numbers, ["query_id"])["query_id"].to_pylist(), strict=True))
    return [Chosen(query, names[query], tuple(notable.get(query, ()))) for query in order]


def _notable(snapshot: Snapshot, tally: Tally) -> dict[int, list[str]]:
    """Numbers of queries that are worth a look, each with why."""
    wanted = snapshot.manifests["filter"].made_from["config"]["filter.num_negatives"]
    riskiest = np.argsort(-tally.risk, kind="stable")[:NOTABLE]
    fewest = np.argsort(tally.kept, kind="stable")[:NOTABLE]
    worst = [row["query_id"] for row in read_json(snapshot.file("filter", "pairs.json"))["worst"]]
    found: dict[int, list[str]] = {}
    for kind, numbers in (
        (RISKIEST, riskiest[np.isfinite(tally.risk[riskiest])]),
        (SHORT, fewest[tally.kept[fewest] < wanted]),
        (DOUBTFUL, _numbers(snapshot, worst)[:NOTABLE]),
    ):
        for query in np.asarray(numbers).tolist():
            found.setdefault(query, []).append(kind)
    return found


def _numbers(snapshot: Snapshot, query_ids: Sequence[str]) -> list[int]:
    """The numbers of some queries, in their order and without repetitions."""
    wanted = pa.array(query_ids, pa.string())
    number: dict[str, int] = {}
    for batch in iter_batches(snapshot.file("ingest", "queries.parquet"), ["query_id", "query"]):
        rows = batch.filter(pc.is_in(batch["query_id"], value_set=wanted))
        number.update(zip(rows["query_id"].to_pylist(), rows["query"].to_pylist(), strict=True))
    return list(dict.fromkeys(number[name] for name in query_ids))
