"""The pipeline files are what GitHub and GitLab take, and give away no more than they must."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
USES = re.compile(r"uses:\s*(\S+)")


def checked(*command: str | Path) -> tuple[int, str]:
    """Run a checker; give its exit status and what it said."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.program("check-jsonschema")
@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", ACTIONS),
        ("vendor.gitlab-ci", [ROOT / "ci" / "gitlab-ci.yml"]),
    ],
    ids=["workflows", "actions", "gitlab"],
)
def test_the_files_hold_to_their_schemas(schema: str, files: list[Path], tmp_path: Path) -> None:
    """Each file fits the schema that its CI system publishes; a planted mistake does not."""
    assert files
    assert checked("check-jsonschema", "--builtin-schema", schema, *files)[0] == 0
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("jobs: 5\nruns: 5\nstages: 5\n")
    assert checked("check-jsonschema", "--builtin-schema", schema, wrong)[0] != 0


@pytest.mark.program("zizmor")
def test_the_workflows_are_safe(tmp_path: Path) -> None:
    """Zizmor finds nothing beyond what is settled with a reason; it does find what is planted."""
    zizmor = ("zizmor", "--offline", "--no-progress", "--config", ROOT / ".github" / "zizmor.yml")
    status, said = checked(*zizmor, ROOT / ".github")
    assert status == 0, said
    planted = tmp_path / ".github" / "workflows" / "bad.yml"
    planted.parent.mkdir(parents=True)
    planted.write_text(
        "on: pull_request_target\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - run: echo ${{ github.event.pull_request.title }}\n"
    )
    assert checked(*zizmor, planted)[0] != 0


def test_only_released_tags_of_githubs_own_actions_are_used() -> None:
    """Every action is GitHub's own at a released major version, or lies in this repository."""
    used = [name for file in (*WORKFLOWS, *ACTIONS) for name in USES.findall(file.read_text())]
    assert used
    assert not [name for name in used if not re.fullmatch(r"actions/[\w/-]+@v\d+|\./.+", name)]


def test_pipelines_name_as_many_partitions_as_they_run() -> None:
    """The matrix, its name and the number that the merge expects agree."""
    text = (ROOT / ".github" / "workflows" / "billing-tests.yml").read_text()
    assert 'PARTITIONS: "4"' in text
    assert "partition: [1, 2, 3, 4]" in text
    gitlab = (ROOT / "ci" / "gitlab-ci.yml").read_text()
    assert "parallel: 4" in gitlab
    assert "--partitions 4" in gitlab
