"""The bounds of a config's ``checks`` section, held against its finished run."""

from negmine.checks.checking import Check, Checked, check
from negmine.checks.junit import write_junit

__all__ = ["Check", "Checked", "check", "write_junit"]
