"""The manifests of deploy/kubernetes are what Kubernetes takes, and run no more than they must."""

from __future__ import annotations

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


def test_the_example_of_a_secret_holds_none() -> None:
    """Applied as it is, it gives a service that refuses to start, and not one with known keys."""
    (secret,) = (each for each in OBJECTS if each["kind"] == "Secret")
    own = {name: value for name, value in secret["stringData"].items() if "DATABASE" not in name}
    assert set(own.values()) == {"CHANGE-ME"}
