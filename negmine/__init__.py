"""negmine mines hard negatives: passages that look right for a query but are wrong.

The command line and this module do the same things: ``load_config`` reads a config,
``run`` brings a run up to date, ``status`` tells what is, ``read_negatives`` gives the result,
``compare`` shows two of them side by side, ``evaluate`` measures whether training on them helps, ``write_report``
makes a page to look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.comparing import Comparison, compare
    from negmine.config import Config, config_from_dict, load_config
    from negmine.errors import NegmineError
    from negmine.evaluation import Evaluation, evaluate
    from negmine.pipeline import RunResult, StageStatus, run, status
    from negmine.report import Report, write_report
    from negmine.results import read_negatives

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Config",
    "Evaluation",
    "NegmineError",
    "Report",
    "RunResult",
    "StageStatus",
    "compare",
    "config_from_dict",
    "evaluate",
    "load_config",
    "read_negatives",
    "run",
    "status",
    "write_report",
]

_HOMES = {
    "Comparison": "negmine.comparing",
    "compare": "negmine.comparing",
    "Config": "negmine.config",
    "config_from_dict": "negmine.config",
    "load_config": "negmine.config",
    "NegmineError": "negmine.errors",
    "Evaluation": "negmine.evaluation",
    "evaluate": "negmine.evaluation",
    "RunResult": "negmine.pipeline",
    "StageStatus": "negmine.pipeline",
    "run": "negmine.pipeline",
    "status": "negmine.pipeline",
    "read_negatives": "negmine.results",
    "Report": "negmine.report",
    "write_report": "negmine.report",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import negmine`` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module 'negmine' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
