"""Results of checks as JUnit XML, which CI systems show as tests."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from negmine.checks.checking import Check, Checked
from negmine.store.files import replacing

# What XML 1.0 has no way to write.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(found: Checked, path: Path) -> None:
    """Publish a suite with a test per bound: one that is not kept is a failure, one that was not measured and may be
    is skipped."""
    skipped = sum(each.verdict == "skipped" for each in found.checks)
    counts = {"tests": str(len(found.checks)), "failures": str(len(found.failed)), "errors": "0"}
    counts["name"] = "negmine check"
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {**counts, "skipped": str(skipped)})
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="fingerprint", value=found.fingerprint)
    for each in found.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="negmine.checks", name=each.name)
        detail = _FORBIDDEN.sub("?", each.detail)
        if each.verdict == "failed":
            failure = ElementTree.SubElement(case, "failure", type="bound", message=_FORBIDDEN.sub("?", message(each)))
            failure.text = detail
        elif each.verdict == "skipped":
            ElementTree.SubElement(case, "skipped", message=detail)
        else:
            ElementTree.SubElement(case, "system-out").text = detail
    ElementTree.indent(root)
    with replacing(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def message(found: Check) -> str:
    """Value and bound in a few words."""
    sign = "at least" if found.at_least else "at most"
    value = "not measured" if found.value is None else shown(found, found.value)
    return f"{value}, and it should be {sign} {shown(found, found.bound)}"


def shown(found: Check, value: float) -> str:
    """A value or a bound: a percentage, or a count."""
    return f"{value:.2%}" if found.is_share else f"{value:,.0f}"
