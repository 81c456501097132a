"""Which settings of ``filter`` a tuning tries, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from negmine.config import Config
from negmine.config.changing import with_values
from negmine.errors import ConfigError

DEFAULT = "as configured"
_NONE: dict[str, Any] = {
    "filter.risk": None,
    "filter.relative_margin": None,
    "filter.positive_similarity": None,
    "filter.absolute_margin": None,
    "filter.leak_rate": None,
    "filter.relative_positive_similarity": None,
    "filter.agreement": "any",
}
_HARDNESS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
_MAX = (0.05, 0.1, 0.2, 0.3, 0.5)
GUARDS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    *((f"risk as hard as {m:g}", {"filter.risk": {"as_hard_as": m, "max": 0.5}}) for m in _HARDNESS),
    *((f"risk <= {m:g}", {"filter.risk": {"max": m}}) for m in _MAX),
    *((f"relative margin {m:g}", {"filter.relative_margin": m}) for m in _HARDNESS[1:]),
    *((f"likeness <= {c:g}", {"filter.positive_similarity": c}) for c in (0.3, 0.4, 0.5, 0.6, 0.7)),
)
"""Rules that keep false negatives out, one at a time."""
_DRAWN = {"filter.sampling_strategy": "random"}
WINDOWS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("", {}),
    ("from rank 6", {"filter.range_min": 5}),
    ("from rank 11", {"filter.range_min": 10}),
    ("from rank 21", {"filter.range_min": 20}),
    ("drawn from 20", {"filter.range_max": 20, **_DRAWN}),
    (
        "drawn from ranks 11 to 50",
        {"filter.range_min": 10, "filter.range_max": 50, **_DRAWN},
    ),
)
NUMBERS, RANDOM_SHARES = (1, 2, 3, 5, 8), (0.0, 0.0, 0.2, 0.4)
_WINDOW_OFF: dict[str, Any] = {
    "filter.range_min": 0,
    "filter.range_max": None,
    "filter.sampling_strategy": "top",
    "filter.sampling_temperature": 1.0,
    "filter.sampling_offset": 0.0,
}
_PATIENCE = 200


@dataclass(frozen=True)
class Candidate:
    """A setting: what it is called, the values it sets, the config that has them."""

    name: str
    values: Mapping[str, Any]
    config: Config


def candidates(config: Config, seed: int) -> Iterator[Candidate]:
    """Settings to try, without end as long as there are new ones: the same for the same config and seed.

    First every third guard as it stands, with the window and numbers of the config; then guards, windows, numbers and
    random shares drawn together (random search, Bergstra and Bengio 2012). What makes no valid config is passed over.
    """
    seen = {config.filter.model_dump_json()}

    def valid(name: str, values: Mapping[str, Any]) -> Iterator[Candidate]:
        try:
            found = with_values(config, values)
        except ConfigError:
            return
        if (key := found.filter.model_dump_json()) not in seen:
            seen.add(key)
            yield Candidate(name, values, found)

    for name, guard in GUARDS[1::3]:
        yield from valid(name, {**_NONE, **guard})
    random = np.random.default_rng([seed, 7])
    idle = 0
    while idle < _PATIENCE:
        (guard_name, guard), (window_name, window) = (of[int(random.integers(len(of)))] for of in (GUARDS, WINDOWS))
        number = int(random.choice(NUMBERS))
        share = float(random.choice(RANDOM_SHARES))
        values = {**_NONE, **guard, **_WINDOW_OFF, **window}
        values |= {"filter.num_negatives": number, "filter.random_share": share}
        parts = [guard_name, window_name, f"{number} negatives", f"{share:.0%} random" if share else ""]
        found = list(valid(", ".join(part for part in parts if part), values))
        idle = 0 if found else idle + 1
        yield from found
