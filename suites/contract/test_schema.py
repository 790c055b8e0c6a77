"""The target keeps to its own OpenAPI document, whoever sends whatever."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import Unknown
from harness.pytest_plugin import FINDINGS
from harness.report.results import finding_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.ground import Ground
    from harness.session import Session
    from suites.contract.fuzzing import Phase

    Try = Callable[..., None]

pytestmark = [
    pytest.mark.requires("create_customer"),
    pytest.mark.requirement("OpenAPI 3.1", "RFC 9110", "API8:2023", "API9:2023"),
    pytest.mark.group("schema"),
]


@pytest.fixture
def hold(
    document: dict[str, Any], ground: Ground, billing: Session, request: pytest.FixtureRequest
) -> Try:
    """Give what tries the target in some phases, and makes a finding of every breach."""

    def hold(*phases: Phase, part: tuple[int, int] = (0, 1)) -> None:
        from suites.contract.fuzzing import tried  # heavy to import, and optional

        found = tried(document, phases, ground, billing, part)
        if found.breaches:
            marks = request.node.iter_markers("requirement")
            ids = [str(name) for mark in marks for name in mark.args]
            told = [replace(finding, test=request.node.nodeid) for finding in found.breaches]
            request.node.stash[FINDINGS] = [
                finding_data(finding, requirements=ids) for finding in told
            ]
            raise AssertionError("\n".join(finding.message for finding in told))
        if found.doubts:
            raise Unknown("; ".join(found.doubts))
        if not found.answers:
            pytest.skip("the document gives nothing to try here")

    return hold


@pytest.mark.requirement("BH-4")
@pytest.mark.parametrize("part", range(2))
def test_every_boundary_is_kept_to(hold: Try, part: int) -> None:
    """At and beyond each bound of the document, every answer has a documented status and shape."""
    hold("coverage", part=(part, 2))


@pytest.mark.requirement("BH-4")
def test_random_requests_are_answered_as_documented(hold: Try) -> None:
    """Random requests, right and wrong, are taken or refused as the document says."""
    hold("examples", "fuzzing")


@pytest.mark.requirement("BH-4", "API2:2023")
def test_requests_that_follow_from_answers_are_answered_as_documented(hold: Try) -> None:
    """What one answer names can be used, changed and removed, and is gone once it was removed."""
    hold("stateful")
