"""A run as JUnit XML: what CI systems read. *Unknown* is an error of its own type there."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
UNKNOWN_TYPE = "harness.errors.Unknown"


def junit(data: dict[str, Any]) -> str:
    """Give a run's plain data as JUnit XML, a test suite each suite."""
    root = ET.Element("testsuites", name="billing-harness", time=f"{data['duration_s']:.3f}")
    for name, counts in data["suites"].items():
        tests = [test for test in data["tests"] if test["suite"] == name]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(tests)),
            failures=str(counts["failed"]),
            errors=str(counts["unknown"]),
            skipped=str(counts["skipped"]),
            time=f"{sum(test['duration_s'] for test in tests):.3f}",
        )
        for test in tests:
            _case(suite, test)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, test: dict[str, Any]) -> None:
    function, bracket, choice = test["id"].partition("[")  # a choice may hold anything, "::" too
    where, _, name = function.rpartition("::")
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_text(where),
        name=_text(f"{name}{bracket}{choice}"),
        time=f"{test['duration_s']:.3f}",
    )
    reason = _text(test["reason"] or "")
    if test["result"] == "failed":
        ET.SubElement(case, "failure", message=reason, type="AssertionError").text = reason
    elif test["result"] == "unknown":
        ET.SubElement(case, "error", message=reason, type=UNKNOWN_TYPE).text = reason
    elif test["result"] == "skipped":
        ET.SubElement(case, "skipped", message=reason)


def _text(text: str) -> str:
    """Leave out characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
