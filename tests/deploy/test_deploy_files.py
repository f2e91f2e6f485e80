"""What is shipped for deployment agrees with the code: verbs, settings, ports, addresses, variables, files."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.check import composition, dockerfile
from deploy.check.dockerfile import Stage
from deploy.check.roots import is_ignored
from deploy.check.telling import Failed
from seglab.cli.verbs import VERBS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
STAGES = dockerfile.read(ROOT / "Dockerfile")
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
SECRETS = {"POSTGRES_PASSWORD", "SEGLAB_API_KEYS", "SEGLAB_SCRAPE_KEY", "GRAFANA_PASSWORD"}
ALL = dict.fromkeys(SECRETS, "0123456789abcdef")
SERVICES = composition.read(DEPLOY / "compose.yaml", ALL)
OURS = {name: one for name, one in SERVICES.items() if one.target}
GUIDE = (ROOT / "docs" / "deploy.md").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FINAL = ("serve", "app", "lab")


def check_words(words: list[str]) -> None:
    """That `seglab` takes them."""
    verb = VERBS[words[1]]
    module = importlib.import_module(verb.target.partition(":")[0])
    module.read_words(words[2:])


def commands() -> list[tuple[str, list[str]]]:
    """Every `seglab …` that the files start, with its place."""
    found = [(f"compose.yaml: {name}", one.command) for name, one in OURS.items() if one.command[0] == "seglab"]
    for stage in ("serve", "app"):
        script = STAGES[stage].last("CMD").words[2]
        found.append((f"Dockerfile: {stage}", shlex.split(script.removeprefix("exec ").replace("$PORT", "8000"))))
    heroku = yaml.safe_load((ROOT / "heroku.yml").read_text())
    found.append(("heroku.yml", shlex.split(heroku["run"]["web"].replace("$PORT", "8000"))))
    procfile = (ROOT / "Procfile").read_text().partition(":")[2]
    found.append(("Procfile", shlex.split(procfile.replace("$PORT", "8000"))))
    unit = (DEPLOY / "systemd/seglab.service").read_text()
    start = re.search(r"^ExecStart=\S+/(seglab .*)$", unit, re.MULTILINE)
    found.append(("seglab.service", shlex.split(start[1])))
    return found


@pytest.mark.parametrize(("place", "words"), commands(), ids=lambda one: one if isinstance(one, str) else "")
def test_what_is_started_is_understood(place: str, words: list[str]) -> None:
    if "--help" not in words:
        check_words(words)


def test_a_setting_that_is_not_there_would_be_seen() -> None:
    from seglab.errors import ConfigError

    with pytest.raises(ConfigError):
        check_words(["seglab", "serve", "/model", "drain_second=3"])


@pytest.mark.parametrize("name", FINAL)
def test_an_image_runs_as_a_user_without_rights(name: str) -> None:
    stage = STAGES[name]
    assert stage.last("USER").rest == "seglab"
    assert stage.instructions.index(stage.last("USER")) > max(
        index for index, one in enumerate(stage.instructions) if one.word in ("COPY", "RUN")
    )
    assert stage.last("ENTRYPOINT").words == ["start"]
    [made] = [one.rest for one in STAGES["python"].instructions if "useradd" in one.rest]
    assert "--uid 10001" in made
    assert "nologin" in made


@pytest.mark.parametrize("name", ["serve", "app"])
def test_health_is_asked_where_it_is_answered(name: str) -> None:
    words = STAGES[name].last("HEALTHCHECK").words
    port, path = words[1:]
    assert words[0] == "healthy"
    assert path.removeprefix("/api") in json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    assert port == STAGES[name].last("EXPOSE").rest
    assert {"PORT": port}.items() <= STAGES[name].last("ENV").variables().items()


def test_every_source_of_the_dockerfile_is_there_and_gets_into_the_context() -> None:
    for stage in STAGES.values():
        for one in stage.instructions:
            if one.word != "COPY":
                continue
            if "from" in one.options:
                assert one.options["from"] in STAGES
                continue
            for source in one.words[:-1]:
                place = ROOT / source
                assert place.exists(), f"Dockerfile:{one.line}: {source}"
                assert place.is_dir() or not is_ignored(source, IGNORED), f".dockerignore keeps {source} out"


def test_what_is_private_stays_out_of_the_context() -> None:
    for name in (
        "mlruns/mlflow.db",
        ".git/config",
        "deploy/.env",
        ".env",
        ".venv/bin/python",
        "deploy/model/README.md",
    ):
        assert is_ignored(name, IGNORED), name
    for name in ("src/seglab/errors.py", "conf/train.yaml", "deploy/model/manifest.json"):
        assert not is_ignored(name, IGNORED), name
    done = subprocess.run(["git", "check-ignore", "deploy/.env"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, "git would keep deploy/.env"


@pytest.mark.parametrize("name", [*STAGES])
def test_rules_of_a_dockerfile(name: str) -> None:
    stage: Stage = STAGES[name]
    for one in stage.instructions:
        where = f"Dockerfile:{one.line}"
        if one.word == "RUN" and "apt-get install" in one.rest:
            assert "apt-get update &&" in one.rest, f"{where}: lists of another day"
            assert "--no-install-recommends" in one.rest, where
            assert "rm -rf /var/lib/apt/lists/*" in one.rest, f"{where}: lists stay in the layer"
        if one.word == "RUN" and re.search(r"pip (install|wheel)", one.rest):
            assert "--no-cache-dir" in one.rest or "--no-deps" in one.rest, f"{where}: pip's cache stays"
            assert "--constraint pins.txt" in one.rest or "--no-deps" in one.rest, f"{where}: versions are not pinned"
        if one.word in ("CMD", "ENTRYPOINT"):
            assert one.rest.startswith("["), f"{where}: a shell would take the signals"
        assert "sudo" not in one.rest
        assert one.word != "ADD"
    if stage.base not in STAGES:
        assert re.fullmatch(r"debian:bookworm-\d{8}-slim(@sha256:[0-9a-f]{64})?", stage.base), "a tag that moves"


def test_the_serving_image_is_made_without_tensorflow() -> None:
    made = {stage for target in ("serve", "app") for stage in dockerfile.needed(STAGES, target)}
    installs = [one.rest for stage in made for one in STAGES[stage].instructions if "pip install" in one.rest]
    assert {extra for rest in installs for extra in re.findall(r"\.\[([\w,]+)\]", rest)} == {"serve", "app"}
    assert "packages-lab" not in made
    assert list(STAGES)[-1] == "serve"  # which `docker build .` makes


def test_a_missing_secret_is_refused_by_name() -> None:
    for name in SECRETS:
        with pytest.raises(Failed, match=f"needs {name}, which the environment does not have"):
            composition.read(DEPLOY / "compose.yaml", {**ALL, name: ""})
    required = {name for name, default in composition.variables(DEPLOY / "compose.yaml").items() if default == "?"}
    assert required == SECRETS


def test_no_secret_stands_in_a_file() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for name, value in re.findall(r"^\s+(\w*(?:PASSWORD|KEY)\w*): (.*)$", text, re.MULTILINE):
        assert value.startswith("${"), name
    for one in OURS.values():
        assert not any(value == ALL["POSTGRES_PASSWORD"] for value in one.command), f"{one.name}: ps would show it"


def test_every_variable_is_documented() -> None:
    named = set(composition.variables(DEPLOY / "compose.yaml"))
    named |= set(re.findall(r"\$\{(SEGLAB\w*)", (DEPLOY / "slurm/serve.sh").read_text()))
    named |= {name for file in WORKFLOWS for name in re.findall(r"(?:vars|secrets)\.(\w+)", file.read_text())}
    named -= {"GITHUB_TOKEN", "SEGLAB"}  # GitHub makes it; where the program is
    undocumented = {name for name in named if f"`{name}`" not in GUIDE}
    assert not undocumented, f"docs/deploy.md does not say what these are: {sorted(undocumented)}"


def test_services_listen_where_others_look() -> None:
    health = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    for name, path in (("service", "/health"), ("app", "/api/health")):
        one = SERVICES[name]
        [port] = one.ports
        assert f"port={port}" in one.command
        assert one.health == ["healthy", str(port), path]
        assert path.removeprefix("/api") in health
        assert one.grace > 5 + 60  # drain_seconds and the deadline
    scraped = yaml.safe_load((DEPLOY / "composition/prometheus.yml").read_text())["scrape_configs"]
    targets = {(job["static_configs"][0]["targets"][0], job["metrics_path"]) for job in scraped}
    assert targets == {("service:8000", "/metrics"), ("app:8511", "/api/metrics")}
    for job in scraped:
        assert job["authorization"]["credentials_file"] == "/run/secrets/scrape_key"
    assert SERVICES["prometheus"].secrets == {"scrape_key": ALL["SEGLAB_SCRAPE_KEY"]}


def test_the_dashboard_finds_its_data() -> None:
    source = yaml.safe_load((DEPLOY / "composition/grafana/datasources.yml").read_text())["datasources"][0]
    board = json.loads((DEPLOY / "monitoring/grafana.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"] if "datasource" in panel} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "composition/grafana/dashboards.yml").read_text())["providers"][0]
    mounted = [one.target for one in SERVICES["grafana"].volumes]
    assert f"{provider['options']['path']}/seglab.json" in mounted


def test_files_that_are_mounted_are_there() -> None:
    for one in SERVICES.values():
        for volume in one.volumes:
            assert volume.named or (DEPLOY / volume.source).is_file(), volume.source


def test_images_have_exact_tags() -> None:
    for one in SERVICES.values():
        if not one.target:
            assert re.fullmatch(r"[\w/]+:v?\d+\.\d+(\.\d+)?(-bookworm)?", one.image), one.image


def test_only_this_machine_is_let_in_unless_asked() -> None:
    for one in SERVICES.values():
        assert all(address == "127.0.0.1" for address, _ in one.ports.values()), one.name


def test_services_start_after_those_that_they_need() -> None:
    order = list(SERVICES)
    assert order.index("postgres") < order.index("mlflow") < order.index("service")
    assert SERVICES["mlflow"].command[2].startswith("known-store && exec mlflow server ")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_has_no_more_rights_than_it_needs(file: Path) -> None:
    fields = yaml.safe_load(file.read_text())
    assert fields["permissions"] == {"contents": "read"}
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, job in fields["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        for step in job["steps"]:
            uses = step.get("uses")
            assert uses is None or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses), uses
            assert "${{" not in step.get("run", ""), "what an expression gives would be run"
            for verb in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
                assert verb in verbs


def test_a_tag_goes_out_when_it_was_checked_and_approved() -> None:
    fields = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
    jobs = fields["jobs"]
    assert fields[True]["push"] == {"tags": ["v[0-9]+.[0-9]+.[0-9]+"]}  # YAML takes `on` for true
    assert jobs["deploy"]["environment"] == "production"
    assert (jobs["deploy"]["needs"], jobs["build"]["needs"]) == ("build", "check")
    built = next(step for step in jobs["build"]["steps"] if "build-push-action" in step.get("uses", ""))
    assert built["with"]["target"] in STAGES


def test_heroku_builds_a_stage_that_is_there() -> None:
    fields = yaml.safe_load((ROOT / "heroku.yml").read_text())["build"]["docker"]["web"]
    assert (ROOT / fields["dockerfile"]).is_file()
    assert fields["target"] in STAGES


def test_the_unit_reads_its_secrets_from_a_file_of_root() -> None:
    unit = (DEPLOY / "systemd/seglab.service").read_text()
    assert "EnvironmentFile=/etc/seglab/environment" in unit
    assert not re.search(r"^Environment=.*KEY", unit, re.MULTILINE)
    assert {"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(unit.splitlines())
