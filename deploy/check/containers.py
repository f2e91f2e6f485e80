"""Services of the composition in roots of their own, with the volumes, variables, names and user of each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.check import roots, running
from deploy.check.composition import Service
from deploy.check.roots import Image
from deploy.check.telling import Failed, tell


class Containers:
    """Containers of a composition.

    Args:
        services: by name.
        image: gives the image of a service.
        work: folder for what they write.
        here: the folder of compose.yaml, which its paths begin at.
    """

    def __init__(self, services: Mapping[str, Service], image: Callable[[Service], Image], work: Path, here: Path):
        self._services, self._image, self._work, self._here = services, image, work, here
        self._roots: dict[str, Path] = {}
        self._alive: dict[str, running.Running] = {}

    def up(self, name: str, environment: Mapping[str, str] | None = None) -> float:
        """Start a service and wait until it is healthy; the seconds. Raises `Failed` where it is not."""
        service = self._services[name]
        self._alive[name] = running.start(
            name, self._words(service, self._command(service), environment or {}), self._work / f"{name}.log"
        )
        took = running.wait(self._alive[name], lambda: self._healthy(service), service.patience)
        tell(f"{name} is healthy after {took:.1f} s")
        return took

    def run(self, name: str, words: Sequence[str]) -> str:
        """Run words in the place of a service's command, as `docker compose run --rm` does; what they print."""
        service = self._services[name]
        entry = self._image(service).entrypoint
        done = subprocess.run(
            self._words(service, [*entry, *words], {}), capture_output=True,
            text=True,
            errors="replace", check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"{' '.join(words)} left with {done.returncode}", "", (done.stdout + done.stderr)[-3000:])
        return done.stdout

    def log(self, name: str) -> str:
        """What a service has said."""
        return (self._work / f"{name}.log").read_text(errors="replace")

    def down(self, name: str) -> int:
        """End a service; its exit code."""
        alive = self._alive.pop(name)
        began = time.monotonic()
        code = running.stop(alive, self._services[name].grace)
        tell(f"{name} ended with {code} after {time.monotonic() - began:.1f} s")
        return code

    def down_all(self) -> dict[str, int]:
        """End all, the last one first; exit codes by name."""
        codes: dict[str, int] = {}
        for name in reversed(list(self._alive)):
            try:
                codes[name] = self.down(name)
            except Failed as error:
                tell(str(error))
                codes[name] = -signal.SIGKILL
        return codes

    def volume(self, name: str) -> Path:
        """Where a volume lies on this machine."""
        return self._work / "volumes" / name

    def _command(self, service: Service) -> list[str]:
        image = self._image(service)
        return [*image.entrypoint, *(service.command or image.command)]

    def _healthy(self, service: Service) -> bool:
        if service.health is None:
            return True
        words = self._words(service, service.health, {})
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    def _words(self, service: Service, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        image = self._image(service)
        root = self._root(service, image)
        return roots.inside(root, image, words, {**image.environment, **service.environment, **environment})

    def _root(self, service: Service, image: Image) -> Path:
        """The root of a service, made when it is first needed; it is kept until the process ends."""
        if service.name in self._roots:
            return self._roots[service.name]
        mount = roots.mounted(image.layers, self._work / "containers" / service.name)
        root = self._roots[service.name] = mount.__enter__()
        roots.furnish(root)
        names = " ".join(self._services)
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost {names}\n")
        (root / "etc/resolv.conf").write_text("")
        (root / "run/secrets").mkdir()
        for name, value in service.secrets.items():
            (root / "run/secrets" / name).write_text(value)
        for volume in service.volumes:
            inside = root / volume.target.lstrip("/")
            if volume.named:
                place = self.volume(volume.source)
                if not place.exists():
                    _new_volume(place, inside)
            else:
                place = (self._here / volume.source).resolve()
            if place.is_dir():
                inside.mkdir(parents=True, exist_ok=True)
            else:
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.touch()
            roots.run(["mount", "--bind", str(place), str(inside)])
            if volume.read_only:
                roots.run(["mount", "-o", "remount,ro,bind", str(inside)])
        return root


def _new_volume(place: Path, inside: Path) -> None:
    """A volume begins with what the image has at its place, and with that owner."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not inside.is_dir():
        place.mkdir()
        return
    shutil.copytree(inside, place, symlinks=True)
    about = inside.stat()
    os.chown(place, about.st_uid, about.st_gid)
