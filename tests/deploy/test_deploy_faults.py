"""What goes wrong with services and containers is named, with what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounts import needs_mounts, small, within
from old_stores import FIRST, LATE, make_old_store
from postgres_server import needs_postgres, postgres

from deploy.check import dockerfile, running
from deploy.check.composition import read
from deploy.check.telling import Failed

ROOT = Path(__file__).parents[2]
START, HEALTHY = ROOT / "deploy/start.sh", ROOT / "deploy/healthy.py"
NOBODY = 65534


def never() -> bool:
    return False


def begun(folder: Path, script: str) -> running.Running:
    return running.start("mlflow", ["sh", "-c", script], folder / "mlflow.log")


@pytest.mark.parametrize(
    ("log", "remedy"),
    [
        ('FATAL: password authentication failed for user "seglab"', "POSTGRES_PASSWORD that the volume was made with"),
        ("error: a store of runs that an older MLflow made [store-older]", "mlflow db upgrade"),
        ("[Errno 98] Address already in use", "end what listens at that port"),
        ("OSError: [Errno 28] No space left on device", "make room on the disk"),
        ("PermissionError: [Errno 13] Permission denied: '/artifacts'", "chown -R 10001"),
        ("error: the service wants keys [serve-keys]", "SEGLAB_API_KEYS"),
    ],
)
def test_a_service_that_ends_is_named_with_the_end_of_its_log(log: str, remedy: str, tmp_path: Path) -> None:
    lines = f'for i in $(seq 100); do echo line $i; done; echo "{log}" >&2; exit 3'.replace('"seglab"', "seglab")
    with pytest.raises(Failed) as caught:
        running.wait(begun(tmp_path, lines), never, 20)
    assert caught.value.what == "service mlflow did not start: it left with 3"
    assert remedy in caught.value.remedy
    assert "line 100" in caught.value.log
    assert "line 50\n" not in caught.value.log


def test_a_service_that_never_becomes_healthy_is_named_and_ended(tmp_path: Path) -> None:
    service = begun(tmp_path, "echo waiting; sleep 60")
    with pytest.raises(Failed, match=r"service mlflow did not become healthy in 1 s"):
        running.wait(service, never, 1)
    assert running.stop(service, 5) == -15


def test_a_service_that_does_not_end_is_killed_and_named(tmp_path: Path) -> None:
    service = begun(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    running.wait(service, lambda: "ready" in service.log.read_text(), 20)
    with pytest.raises(Failed, match="service mlflow did not end in 1 s"):
        running.stop(service, 1)
    assert service.process.returncode == -9


def test_ports_that_are_taken_are_named_together() -> None:
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
            each.listen()
        first, second = one.getsockname()[1], two.getsockname()[1]
        with pytest.raises(Failed) as caught:
            running.check_ports([("mlflow", "127.0.0.1", first), ("app", "127.0.0.1", second)])
    assert f"{first} (mlflow), {second} (app)" in caught.value.what
    assert "MLFLOW_PORT" in caught.value.remedy


def test_all_secrets_that_are_missing_are_named_at_once() -> None:
    with pytest.raises(Failed) as caught:
        read(ROOT / "deploy/compose.yaml", {"POSTGRES_PASSWORD": "x", "SEGLAB_API_KEYS": ""})
    assert "GRAFANA_PASSWORD, SEGLAB_API_KEYS, SEGLAB_SCRAPE_KEY" in caught.value.what


def started(folder: Path, *words: str, user: int | None = None) -> tuple[int, str]:
    done = subprocess.run(
        ["sh", str(START), *words], capture_output=True, text=True, check=False, user=user,
        env={"PATH": os.environ["PATH"], "WRITES": str(folder)},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that any user can reach: those of pytest are its own user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_volume_without_rights_is_named_before_anything_starts(public_folder: Path) -> None:
    volume = public_folder
    code, output = started(volume, "echo", "ran", user=NOBODY)
    assert code == 2
    assert f"user {NOBODY} of this container cannot write to" in output
    assert str(volume) in output
    assert f"chown -R {NOBODY}" in output
    assert "ran" not in output
    os.chown(volume, NOBODY, NOBODY)
    assert started(volume, "echo", "ran", user=NOBODY) == (0, "ran\n")
    assert list(volume.iterdir()) == []


def test_a_volume_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    code, output = started(tmp_path / "none", "true")
    assert (code, "a volume that is not mounted" in output) == (2, True)


@needs_mounts
def test_a_volume_on_a_full_disk_is_named(tmp_path: Path) -> None:
    full = f"{small(tmp_path, '64k')} && mkdir {tmp_path}/v && head -c 60k /dev/zero > {tmp_path}/v/a"
    fill = f"while head -c 1 /dev/zero > {tmp_path}/v/$i 2>/dev/null; do i=$((i+1)); done; true"
    command = ["sh", "-c", f"i=0; {fill}; WRITES={tmp_path}/v exec sh {START} true"]
    code, output = within(full, command)
    assert code == 2
    assert "No space left on device" in output


def test_words_go_on_as_they_are(tmp_path: Path) -> None:
    assert started(tmp_path, "printf", "%s|", "a b", "$HOME", "*") == (0, "a b|$HOME|*|")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "health").write_text("{}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.05)
    yield port
    process.kill()
    process.wait()


def test_health_is_200_and_nothing_else(site: int) -> None:
    def code(*words: str, **more: str) -> int:
        words = (sys.executable, str(HEALTHY), *words)
        return subprocess.run(words, env={**os.environ, **more}, capture_output=True, check=False).returncode

    assert code(str(site), "/health") == 0
    assert code("1", "/health", PORT=str(site)) == 0
    assert code("1", "/health") == 1
    assert code(str(site), "/none") == 1


def test_the_dockerfile_is_read_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text('ARG BASE=a:1\n# no\nFROM ${BASE} AS one\nENV X=1 Y="2 3"\nRUN a \\\n    && b\n\nFROM one AS two\n'
                    'COPY --from=one --chown=u:g /x y/\nCMD ["c", "d e"]\n')  # fmt: skip
    stages = dockerfile.read(file)
    assert [(one.name, one.base, one.line) for one in stages.values()] == [("one", "a:1", 3), ("two", "one", 8)]
    assert [(one.word, one.rest, one.line) for one in stages["one"].instructions][1] == ("RUN", "a && b", 5)
    assert stages["one"].instructions[0].variables() == {"X": "1", "Y": "2 3"}
    copy = stages["two"].instructions[0]
    assert (copy.options, copy.words) == ({"from": "one", "chown": "u:g"}, ["/x", "y/"])
    assert stages["two"].last("CMD").words == ["c", "d e"]
    assert dockerfile.read(file, {"BASE": "b:2"})["one"].base == "b:2"
    file.write_text("FROM a\nADD x y\n")
    with pytest.raises(ValueError, match="ADD is not understood"):
        dockerfile.read(file)


@pytest.mark.parametrize("revision", [FIRST, LATE])
def test_an_old_database_stops_mlflows_server_before_it_changes_it(revision: str, tmp_path: Path) -> None:
    file = make_old_store(tmp_path, revision)
    before = file.read_bytes()
    script = f"{sys.executable} {ROOT / 'deploy/known_store.py'} && echo it would have started"
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{file}"}
    service = running.start("mlflow", ["sh", "-c", script], tmp_path / "log", environment)
    with pytest.raises(Failed) as caught:
        running.wait(service, never, 300)
    assert caught.value.what == "service mlflow did not start: it left with 2"
    assert "mlflow db upgrade" in caught.value.remedy
    assert "a store of runs that an older MLflow made" in caught.value.log
    assert "it would have started" not in caught.value.log
    assert file.read_bytes() == before


@needs_postgres
@pytest.mark.slow
def test_mlflows_server_with_a_wrong_password_is_named_with_the_remedy(tmp_path: Path) -> None:
    with postgres() as address:
        wrong = address.replace(":secret@", "@")
        words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", wrong, "--port", "8812"]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PGPASSWORD": "wrong"}
        service = running.start("mlflow", [*words, "--workers", "1"], tmp_path / "log", environment)
        log = tmp_path / "log"
        running.wait(service, lambda: "retried" in log.read_text(), 300)  # it tries for minutes before it ends
        with pytest.raises(Failed) as caught:
            running.wait(service, never, 1)
        running.stop(service, 30)
    assert "service mlflow did not" in caught.value.what
    assert "POSTGRES_PASSWORD that the volume was made with" in caught.value.remedy
