"""The manifests of deploy/kubernetes are what Kubernetes takes, and run no more than they must."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # untyped there

from simulators.billing.settings import Settings
from tests.ci.test_pipelines import checked

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "kustomization.yaml"})
OBJECTS: list[dict[str, Any]] = [
    each for file in FILES for each in yaml.safe_load_all(file.read_text("utf-8"))
]
RUN = ("Deployment", "Job", "CronJob")


def pods() -> list[tuple[str, dict[str, Any]]]:
    """Give the pods of everything that runs, by its name."""
    found = []
    for each in OBJECTS:
        if each["kind"] in RUN:
            spec = each["spec"]
            spec = spec["jobTemplate"]["spec"] if each["kind"] == "CronJob" else spec
            found.append((each["metadata"]["name"], spec["template"]["spec"]))
    return found


@pytest.mark.program("kubernetes-validate")
def test_the_manifests_hold_to_kubernetes_schemas(tmp_path: Path) -> None:
    """Each object fits the schema of its kind, strictly; a planted mistake does not."""
    assert checked("kubernetes-validate", "--strict", "--quiet", *FILES)[0] == 0
    wrong = tmp_path / "wrong.yaml"
    text = (FOLDER / "deployment.yaml").read_text("utf-8")
    wrong.write_text(text.replace("replicas: 2", "replikas: 2"), "utf-8")
    assert checked("kubernetes-validate", "--strict", "--quiet", wrong)[0] != 0


@pytest.mark.parametrize(("name", "pod"), pods(), ids=[name for name, _ in pods()])
def test_every_pod_runs_with_as_little_as_it_can(name: str, pod: dict[str, Any]) -> None:
    """No root, no token of the cluster, no writable root, no capability; memory is bounded."""
    assert pod["securityContext"]["runAsNonRoot"] is True, name
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    secured = container["securityContext"]
    assert secured["allowPrivilegeEscalation"] is False
    assert secured["readOnlyRootFilesystem"] is True
    assert secured["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    if container.get("ports"):
        assert {"readinessProbe", "livenessProbe"} <= set(container)


def test_the_service_finds_all_that_it_needs() -> None:
    """ConfigMap and Secret name settings that there are, and all that have no default."""
    given: set[str] = set()
    for each in OBJECTS:
        if each["kind"] in {"ConfigMap", "Secret"} and each["metadata"]["name"] == "billing":
            given |= set(each.get("data", {})) | set(each.get("stringData", {}))
    known = {f"BILLING_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert given <= set(known)
    assert {name for name, field in known.items() if field.is_required()} <= given


def test_the_jobs_take_a_database_up_and_back_down(tmp_path: Path) -> None:
    """What the jobs of migration and downgrade run does so, there and back."""
    jobs = {name: pod["containers"][0] for name, pod in pods() if name.startswith("billing-")}
    url = f"sqlite:///{tmp_path}/billing.db"
    env = {
        **os.environ, "BILLING_DATABASE_URL": url, "BILLING_STRIPE_API_KEY": "sk_test_of_the_jobs",
        "BILLING_KEY_HMAC_SECRET": "h" * 32,
        **{each["name"]: each["value"] for each in jobs["billing-downgrade"]["env"]},
    }  # fmt: skip
    revisions = []
    for name in ("billing-migrate", "billing-downgrade"):
        program, *arguments = jobs[name]["command"]
        assert program == "python"
        command = [sys.executable, *arguments]
        subprocess.run(command, env=env, check=True, timeout=120)
        with contextlib.closing(sqlite3.connect(tmp_path / "billing.db")) as database:
            revisions += database.execute("SELECT version_num FROM alembic_version").fetchone()
    assert revisions[0] > revisions[1] == env["DOWNGRADE_TO"]


def test_the_example_of_a_secret_holds_none() -> None:
    """Applied as it is, it gives a service that refuses to start, and not one with known keys."""
    (secret,) = (each for each in OBJECTS if each["kind"] == "Secret")
    own = {name: value for name, value in secret["stringData"].items() if "DATABASE" not in name}
    assert set(own.values()) == {"CHANGE-ME"}
