"""How good the negatives of a finished run are."""

from negmine.quality.auditing import (
    JUDGEMENTS,
    Audit,
    Group,
    Imported,
    audit,
    export_sheet,
    import_sheet,
    stored_audit,
)
from negmine.quality.simulation import Simulation, simulate

__all__ = [
    "JUDGEMENTS",
    "Audit",
    "Group",
    "Imported",
    "Simulation",
    "audit",
    "export_sheet",
    "import_sheet",
    "simulate",
    "stored_audit",
]
