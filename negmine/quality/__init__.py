"""How good the negatives of a finished run are."""

from negmine.quality.auditing import (
    JUDGEMENTS,
    Audit,
    Group,
    Imported,
    audit,
    export_sheet,
    import_sheet,
    judged_audit,
    stored_audit,
)
from negmine.quality.judge_sheets import export_judge_sheet, import_judge_sheet, judge_preview
from negmine.quality.simulation import Simulation, simulate

__all__ = [
    "JUDGEMENTS",
    "Audit",
    "Group",
    "Imported",
    "Simulation",
    "audit",
    "export_judge_sheet",
    "export_sheet",
    "import_judge_sheet",
    "import_sheet",
    "judge_preview",
    "judged_audit",
    "simulate",
    "stored_audit",
]
