"""compose.yaml: true to its specification, and everything that it names is there."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import StackError
from harness.stack.companion import simulator_process
from harness.stack.container import NEEDED, SERVE, _asked, secrets_for
from simulators.billing.settings import Settings
from tests.ci.test_pipelines import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
DATA = ROOT / "fixtures" / "compose"
# Comes with schemathesis; it has no types.
yaml: Any = importlib.import_module("yaml")
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GIVEN = re.compile(r"\$\{(\w+):\?[^}]+\}")
SECRET_WORDS = ("PASSWORD", "SECRET", "KEY", "TOKEN")


@pytest.mark.program("check-jsonschema")
def test_it_holds_to_the_compose_specification(tmp_path: Path) -> None:
    """The specification's own schema takes it, and not a planted mistake."""
    schema = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    status, said = checked(*schema, FILE)
    assert status == 0, said
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(FILE.read_text().replace("healthcheck:", "healthchecks:", 1))
    assert checked(*schema, wrong)[0] != 0


def test_docker_takes_it() -> None:
    """Where Docker Compose is, it reads the file whole, with every variable given."""
    if shutil.which("docker") is None or checked("docker", "compose", "version")[0] != 0:
        pytest.skip("Docker Compose is not here, and no CI of ours can have it")
    variables = sorted(set(GIVEN.findall(FILE.read_text())))
    ended = subprocess.run(
        ["docker", "compose", "-f", FILE, "config", "--quiet"],
        env={"PATH": "/usr/bin:/usr/local/bin", **dict.fromkeys(variables, "x" * 32)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def mounts() -> Iterator[tuple[str, str]]:
    """Give what is mounted into containers, with the service."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            yield name, volume.partition(":")[0]


def test_every_path_that_is_mounted_is_there() -> None:
    """Files and folders of the checkout exist; the others are volumes that are declared."""
    assert {source for _, source in mounts() if source.startswith(".")} >= {
        "./dashboards/generated"
    }
    for name, source in mounts():
        if source.startswith("./"):
            assert (ROOT / source).exists(), f"{name}: {source}"
        else:
            assert source in COMPOSE["volumes"], f"{name}: {source}"


def test_every_command_of_ours_is_there() -> None:
    """Each `python -m MODULE` can be found, and takes the options that it is given."""
    commands = [service["command"] for service in SERVICES.values() if "command" in service]
    commands.append(["python", "-P", "-m", *SERVE])
    assert len(commands) == 4
    for command in commands:
        assert command[:3] == ["python", "-P", "-m"]
        module, *arguments = command[3:]
        assert importlib.util.find_spec(module) is not None, module
        if arguments:
            parser = importlib.import_module(f"{module}.__main__")
            build = parser._parser if hasattr(parser, "_parser") else parser.build_parser
            build().parse_args(arguments)


def test_the_image_copies_what_is_there() -> None:
    """Each COPY of the Dockerfile exists and passes .dockerignore; it runs as nobody special."""
    text = (ROOT / "Dockerfile").read_text()
    let_in = (ROOT / ".dockerignore").read_text()
    sources = [
        word for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    assert len(sources) > 8
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"\n!{source}\n" in let_in, source
    assert re.search(r"^USER billing$", text, re.MULTILINE)
    assert SERVICES["billing"]["build"] == {"context": ".", "dockerfile": "Dockerfile"}


def test_nothing_is_open_to_others_and_no_secret_is_inside() -> None:
    """Ports are published on loopback alone; each secret must be given from outside."""
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in SECRET_WORDS):
                assert GIVEN.fullmatch(value), f"{name}: {variable}"
    password = SERVICES["billing"]["environment"]["BILLING_DATABASE_URL"]
    assert GIVEN.search(password)
    inside = [*DATA.rglob("*.yml"), FILE, ROOT / "Dockerfile"]
    assert not [f for f in inside if re.search(r"(sk|rk|whsec|glsa)_\w{8}", f.read_text())]


def test_each_waits_for_what_it_needs_and_says_when_it_is_well() -> None:
    """All that go on have a health check; `depends_on` names services by a condition they meet."""
    for name, service in SERVICES.items():
        assert ("healthcheck" in service) == (service.get("restart") != "no"), name
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} on {needed}"
            else:
                assert SERVICES[needed]["restart"] == "no", f"{name} on {needed}"


def test_the_services_settings_are_settings_of_the_service() -> None:
    """A variable that the service does not know would change nothing, and tell nobody."""
    known = {f"BILLING_{name.upper()}" for name in Settings.model_fields}
    told = set(SERVICES["billing"]["environment"])
    assert told - known == {"WEBHOOK_URL"}
    assert {"WEBHOOK_URL", *known} >= set(NEEDED)


@pytest.mark.program("promtool")
@pytest.mark.program("amtool")
def test_prometheus_and_alertmanager_take_their_files() -> None:
    """Their own checkers read what is mounted for them."""
    assert checked("promtool", "check", "config", "--syntax-only", DATA / "prometheus.yml")[0] == 0
    assert checked("amtool", "check-config", DATA / "alertmanager.yml")[0] == 0
    scraped = yaml.safe_load((DATA / "prometheus.yml").read_text())
    targets = [t for job in scraped["scrape_configs"] for t in job["static_configs"][0]["targets"]]
    assert {target.partition(":")[0] for target in targets} <= set(SERVICES)
    (source,) = yaml.safe_load((DATA / "grafana" / "datasources.yml").read_text())["datasources"]
    assert source["uid"] == "prometheus", "the dashboards' own default"


def test_a_start_without_what_it_needs_is_told() -> None:
    """Without addresses or key no endpoint is made; a secret that is given is taken."""
    with pytest.raises(StackError, match="WEBHOOK_URL must be set"):
        secrets_for(
            {"BILLING_STRIPE_API_BASE": "http://127.0.0.1:1", "BILLING_STRIPE_API_KEY": "k"}
        )
    with pytest.raises(StackError, match="cannot be listed"):
        secrets_for(dict.fromkeys(NEEDED, "http://127.0.0.1:1"))
    assert secrets_for({"BILLING_STRIPE_WEBHOOK_SECRETS": "whsec_x"}) == "whsec_x"


@pytest.mark.nightly
def test_a_second_start_leaves_one_endpoint(tmp_path: Path) -> None:
    """Each start makes its endpoint anew, and takes away the one whose secret is gone."""
    simulator, url = simulator_process(tmp_path, 1)
    try:
        simulator.wait_ready(f"{url}/simulator/ready", 60)
        key = "sk_test_compose"
        started = dict(zip(NEEDED, (url, key, "http://billing:8000/hook"), strict=True))
        secrets = {secrets_for(started) for _ in range(2)}
        assert len(secrets) == 2
        assert len(_asked(f"{url}/v1/webhook_endpoints", key)["data"]) == 1
    finally:
        simulator.stop()
