"""Makes every check there is, and gathers what they find."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from dashboards.build import Wanted, artefacts
from dashboards.checks import Finding, Skipped
from dashboards.checks.lint import check_lint, check_parses
from dashboards.checks.live import check_page, read_page
from dashboards.checks.orphans import check_orphans
from dashboards.checks.programs import check_rules, run
from dashboards.checks.roundtrip import check_roundtrip
from dashboards.naming import OURS, Naming
from dashboards.observables import plans

if TYPE_CHECKING:
    from dashboards.objectives import Objectives

_SUFFIX = "_dashboard.json"


def check_everything(
    objectives: Objectives, naming: Naming = OURS
) -> tuple[list[Finding], list[Skipped]]:
    """Check definitions, dashboards and rules; needs no network."""
    files = artefacts(Wanted(objectives, naming=naming))
    drawn = {
        name.removesuffix(_SUFFIX): json.loads(text)
        for name, text in files.items()
        if name.endswith(_SUFFIX)
    }
    odd, unparsed = check_parses(drawn)
    lost, untravelled = check_roundtrip(drawn)
    wrong, unrun = check_rules(files)
    defined = [*check_orphans(plans(objectives)), *check_lint(drawn)]
    return [*defined, *odd, *lost, *wrong], [*unparsed, *untravelled, *unrun]


def check_service(url: str, naming: Naming = OURS) -> tuple[list[Finding], list[Skipped]]:
    """Check a service's metrics, reading them once. Raises `TargetError`."""
    page = read_page(url)
    found = check_page(page, naming.catalogue())
    check = "promtool check metrics"
    if shutil.which("promtool") is None:
        return found, [Skipped(check, "promtool is not on the PATH")]
    if trouble := run(["promtool", "check", "metrics"], ".", page):
        found += [Finding(check, url, line) for line in trouble.splitlines()]
    return found, []
