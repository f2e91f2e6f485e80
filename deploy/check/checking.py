"""The parts of the check, one a function, and what comes of them."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.check import composition, dockerfile, files, journey, roots, running
from deploy.check.composition import Service
from deploy.check.containers import Containers
from deploy.check.debian_root import debian
from deploy.check.roots import Image, Images
from deploy.check.telling import Failed, tell

ROOT = Path(__file__).parents[2]
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
SERVE_SECONDS, SERVE_MEGABYTES = 360.0, 700.0


class Check:
    """What was tried, what was found, what was not tried.

    Args:
        work: folder for roots, layers, volumes and logs.
    """

    def __init__(self, work: Path):
        self.work, self.tried, self.missed = work, list[str](), list[str]()
        self.untried = [
            "an engine of containers, its builder, and the images of PostgreSQL, Prometheus and Grafana themselves: "
            "Debian's own PostgreSQL and Prometheus stand for two of them",
            "Grafana, whose program no package index here has: its files are read by tests/deploy",
            "Heroku, Azure and Streamlit Community Cloud, which want accounts",
        ]
        stages = dockerfile.read(ROOT / "Dockerfile")
        others = dockerfile.read(ROOT / "deploy/check/stand_ins.Dockerfile")
        rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
        self.base, layers = work / "debian", work / "layers"
        self._stages = stages
        self.images = Images(stages, self.base, ROOT, layers, rules)
        self.stand_ins = Images(others, self.base, ROOT, layers, ())
        self._built: dict[str, float] = {}

    def files(self) -> None:
        """What other programs will read, against what they publish."""
        files.schemas(self.work)
        self.tried.append("workflows and compose.yaml, against the published schemas")
        missing = files.unit(self.work)
        (self.untried if missing else self.tried).append(missing or "the unit of systemd, by systemd-analyze")

    def export(self) -> None:
        """A model to serve, from the environment that this runs in."""
        if (self.work / "model").is_dir():
            return
        tell("training and exporting a small model")
        output = _seglab(["train", "debug=fast", "model=unet_mini", "data=synthetic2d"], self.work)
        run_id = next(word for word in output.split() if len(word) == 32 and word.isalnum())
        _seglab(["export", f"run={run_id}", f"out={self.work / 'model'}"], self.work)

    def build(self, targets: Sequence[str]) -> None:
        """Stages of the Dockerfile in an empty Debian root, and what stands for the images of others."""
        debian(self.base)
        for target in targets:
            began = time.monotonic()
            layers = self.images.image(target).layers
            took, size = time.monotonic() - began, roots.size_of(layers, self.work)
            self.tried.append(f"the image {target}, built in {took:.0f} s; {size:.0f} MB of files")
            self._built[target] = took
            if target == "serve":
                self._figure("files of the serving root", size, SERVE_MEGABYTES, "MB")
        if "lab" in targets:
            for name in ("postgres", "prometheus"):
                self.stand_ins.image(name)

    def leave_the_network(self) -> None:
        """From here on there is a loopback and nothing else, where every port is free."""
        if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
            raise Failed(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        roots.run(["ip", "link", "set", "lo", "up"])

    def answers(self, target: str) -> None:
        """The image of a stage answers with the mask that `seglab predict` writes, and ends when it is told to."""
        began, image, key = time.monotonic(), self.images.image(target), secrets.token_urlsafe(24)
        health = self._stages[target].last("HEALTHCHECK")
        assert health is not None
        _, port, path = health.words
        with roots.mounted(image.layers, self.work / "containers" / target) as root:
            roots.furnish(root)
            shutil.copytree(self.work / "model", root / "model", dirs_exist_ok=True)
            words = {**image.environment, "SEGLAB_API_KEYS": key}
            command = roots.inside(root, image, [*image.entrypoint, *image.command], words)
            service = running.start(target, command, self.work / f"{target}.log")
            probe = roots.inside(root, image, health.words, words)
            running.wait(service, lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0, 120)
            address = f"http://127.0.0.1:{port}{path.removesuffix('/health')}"
            journey.refused_without_key(address, journey.picture())
            mask, _ = journey.ask(address, journey.picture(), key)
            took = self._built.get(target, 0.0) + time.monotonic() - began
            code = running.stop(service, 70)
        journey.same_mask(mask, self._predicted())
        if target == "serve":
            self._figure("from an empty Debian root to the first served mask", took, SERVE_SECONDS, "s")
        self.tried.append(f"the image {target}: its mask is that of seglab predict; SIGTERM ends it with {code}")

    def _predicted(self) -> Path:
        """The mask that `seglab predict` writes of the picture that services are sent."""
        mask, inputs = self.work / "masks" / "a.png", self.work / "in"
        if not mask.is_file():
            inputs.mkdir(exist_ok=True)
            (inputs / "a.png").write_bytes(journey.picture())
            _seglab(["predict", str(self.work / "model"), str(inputs), f"out={mask.parent}"], self.work)
        return mask

    def composition(self) -> None:
        """Every service of compose.yaml but Grafana; a model's way through them; copies; the end."""
        names = composition.variables(ROOT / "deploy/compose.yaml")
        values = {name: secrets.token_urlsafe(24) for name, default in names.items() if default == "?"}
        services = composition.read(ROOT / "deploy/compose.yaml", values)
        running.check_ports((one.name, host, port) for one in services.values() for host, port in one.ports.values())
        key = values["SEGLAB_API_KEYS"]
        lab = Containers(services, self._image, self.work, ROOT / "deploy")
        try:
            for name in ("postgres", "mlflow"):
                lab.up(name)
            journey.trained_and_promoted(lab, seed=1)
            for name in ("service", "app", "prometheus"):
                lab.up(name)
            model = journey.served_as_predicted(lab, key)
            journey.trained_and_promoted(lab, seed=2)
            tell(f"the next champion answers after {journey.taken_over(model, key):.0f} s")
            journey.served_as_predicted(lab, key)
            jobs = journey.scraped()
            if jobs != ["seglab", "seglab-app"]:
                raise Failed(
                    f"Prometheus has {jobs or 'nothing'} of the two services", "", lab.log("prometheus")[-2000:]
                )
            journey.copied_and_restored(lab)
        finally:
            codes = lab.down_all()
        amiss = {name: code for name, code in codes.items() if code not in _ENDS.get(name, (0,))}
        if amiss:
            raise Failed(f"services that did not end well: {amiss}")
        self.tried.append(
            f"{', '.join(reversed(codes))}: started, trained through, promoted, asked, swapped, scraped, backed up and "
            "restored, ended"
        )

    def summary(self) -> list[str]:
        """Lines: what was tried, what not, what missed its target."""
        return [
            *(f"tried      {one}" for one in self.tried),
            *(f"not tried  {one}" for one in self.untried),
            *(f"MISSED     {one}" for one in self.missed),
        ]

    def _image(self, service: Service) -> Image:
        if service.target:
            return self.images.image(service.target)
        return self.stand_ins.image(service.name)

    def _figure(self, what: str, found: float, target: float, unit: str) -> None:
        words = f"{what}: {found:.0f} {unit} (at most {target:.0f})"
        (self.tried if found <= target else self.missed).append(words)


# MLflow's server ends by the signal that it was sent.
_ENDS = {"mlflow": (0, -15, 143)}


def _seglab(words: Sequence[str], work: Path) -> str:
    """Run a verb in the environment of this process; what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "seglab", *words], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"seglab {' '.join(words)} left with {done.returncode}", "", (done.stdout + done.stderr)[-2000:])
    return done.stdout
