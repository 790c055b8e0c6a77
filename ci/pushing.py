"""Under which labels a Pushgateway keeps a pipeline's last run.

Pushed once, by the merging job. The grouping key is small and stable (job, repository, branch
class); a run's id or a commit in it would leave a new group behind with each run, for ever.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB = "billing-harness"
_MAIN = frozenset({"main", "master", "trunk"})
_RELEASE = re.compile(r"(release|hotfix)[/-].*|v?[0-9]+(\.[0-9x]+)*")


def grouping_key(branch: str | None, repository: str | None) -> dict[str, str]:
    """Give the labels under which the gateway keeps a run, until the next of its kind.

    >>> grouping_key("feature/x", "acme/billing")
    {'repository': 'acme/billing', 'branch_class': 'other'}
    """
    return {"repository": repository or "unknown", "branch_class": branch_class(branch)}


def branch_class(branch: str | None) -> str:
    """Sort a branch into one of three classes: main, release, other."""
    if branch in _MAIN:
        return "main"
    return "release" if branch and _RELEASE.fullmatch(branch) else "other"


def repository_of(environment: Mapping[str, str]) -> str | None:
    """Give the repository's name by the CI system's own variables."""
    names = ("GITHUB_REPOSITORY", "CI_PROJECT_PATH", "CIRCLE_PROJECT_REPONAME")
    return next((environment[name] for name in names if environment.get(name)), None)
