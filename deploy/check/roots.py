"""Images as folders: each stage of the Dockerfile is a layer over those before it, and its steps run in a fresh root.

Everything is mounted in this process's own namespace, so that it is gone with the process.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.check.dockerfile import Instruction, Stage, filled, needed
from deploy.check.telling import Failed, tell

_CERTIFICATES = Path("run/host.crt")


@dataclass
class Image:
    """A stage that was made.

    Attributes:
        layers: its folders, the lowest first.
        key: of all that it was made from.
        environment, workdir, user, entrypoint, command: as the Dockerfile says.
    """

    layers: list[Path]
    key: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "root"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


class Images:
    """Stages of a Dockerfile, made once each.

    Args:
        stages: of the Dockerfile.
        base: an empty root that stands for the image that the first stage names.
        context: the folder that COPY reads.
        work: where layers are kept; one that is there and was made from the same is taken as it is.
        ignored: lines of .dockerignore.
    """

    def __init__(self, stages: Mapping[str, Stage], base: Path, context: Path, work: Path, ignored: Sequence[str]):
        self._stages, self._base, self._context, self._work = stages, base, context, work
        self._ignored, self._made = ignored, dict[str, Image]()

    def image(self, name: str) -> Image:
        """A stage, made with all that it needs."""
        for stage in needed(self._stages, name):
            if stage not in self._made:
                self._made[stage] = self._make(self._stages[stage])
        return self._made[name]

    def _make(self, stage: Stage) -> Image:
        below = self._made.get(stage.base, Image([self._base]))
        layer = self._work / stage.name
        made, key = layer.with_name(f"{layer.name}.made"), self._key(stage, below)
        image = Image([*below.layers, layer], key, dict(below.environment), below.workdir, below.user)
        with_arguments = dict(image.environment)
        there = made.is_file() and made.read_text() == key
        if not there:
            shutil.rmtree(layer, ignore_errors=True)
        with mounted(below.layers, layer) as root, online(root):
            for one in stage.instructions:
                if one.word in ("COPY", "RUN"):
                    if there:
                        continue
                    tell(f"{stage.name}: {one.word} {one.rest}")
                if one.word == "ARG":
                    name, _, default = one.rest.partition("=")
                    with_arguments[name] = default
                elif one.word == "ENV":
                    image.environment.update({k: filled(v, with_arguments) for k, v in one.variables().items()})
                    with_arguments.update(image.environment)
                elif one.word == "WORKDIR":
                    image.workdir = one.rest
                    (root / one.rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
                elif one.word == "USER":
                    image.user = one.rest
                elif one.word == "COPY":
                    self._copy(one, root, image)
                elif one.word == "RUN":
                    run(
                        inside(root, image, ["sh", "-c", one.rest], {**with_arguments, **_network()}),
                        f"{stage.name}, line {one.line} of its file: RUN {one.rest}",
                    )
        made.write_text(key)
        image.entrypoint = _words(stage, "ENTRYPOINT")
        image.command = _words(stage, "CMD")
        return image

    def _key(self, stage: Stage, below: Image) -> str:
        digest = hashlib.sha256(f"{below.key} {[(one.word, one.rest) for one in stage.instructions]}".encode())
        for one in stage.instructions:
            if one.word == "COPY" and "from" in one.options:
                digest.update(self._made[one.options["from"]].key.encode())
            elif one.word == "COPY":
                for file in self._context_files(one.words[:-1]):
                    place = self._context / file
                    digest.update(
                        f"{file} {os.readlink(place) if place.is_symlink() else place.read_bytes()!r}".encode()
                    )
        return digest.hexdigest()

    def _context_files(self, sources: Sequence[str]) -> list[Path]:
        """What COPY takes, by its place in the context."""
        found = []
        for source in sources:
            place = self._context / source
            if not place.exists():
                raise Failed(f"COPY {source}: there is no such file", "correct the Dockerfile")
            for file in [place] if place.is_file() else sorted(place.rglob("*")):
                name = file.relative_to(self._context)
                if (file.is_file() or file.is_symlink()) and not is_ignored(str(name), self._ignored):
                    found.append(name)
        return found

    def _copy(self, one: Instruction, root: Path, image: Image) -> None:
        *sources, target = one.words
        goal = root / (Path(image.workdir) / target).as_posix().lstrip("/")
        origin = one.options.get("from")
        if origin is None:
            self._copy_context(sources, goal, target.endswith("/"))
        else:
            with mounted(self._made[origin].layers[:-1], self._made[origin].layers[-1]) as other:
                for source in sources:
                    goal.parent.mkdir(parents=True, exist_ok=True)
                    run(["cp", "--archive", "--no-target-directory", str(other / source.lstrip("/")), str(goal)])
        if "chown" in one.options:
            user, _, group = one.options["chown"].partition(":")
            run(["chroot", str(root), "chown", "--recursive", f"{user}:{group}", "/" + str(goal.relative_to(root))])

    def _copy_context(self, sources: Sequence[str], goal: Path, into: bool) -> None:
        """A file goes to the goal, or into it; of a folder what is in it does."""
        for file in self._context_files(sources):
            folder = next((one for one in sources if (self._context / one).is_dir() and file.is_relative_to(one)), None)
            there = goal / file.relative_to(folder) if folder else goal / file.name if into else goal
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._context / file, there, follow_symlinks=False)
        if into or any((self._context / one).is_dir() for one in sources):
            goal.mkdir(parents=True, exist_ok=True)


def is_ignored(name: str, rules: Sequence[str]) -> bool:
    """Whether a file of the context stays out, by the last rule of .dockerignore that is about it or a folder of it."""
    ignored = False
    parts = name.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    for rule in rules:
        pattern = rule.removeprefix("!")
        tail = pattern.removeprefix("**/")
        if any(fnmatch.fnmatchcase(one, pattern) for one in above) or (
            tail != pattern and any(fnmatch.fnmatchcase(part, tail) for part in parts)
        ):
            ignored = not rule.startswith("!")
    return ignored


class mounted:
    """A root of layers, the last of which takes what is written."""

    def __init__(self, below: Sequence[Path], upper: Path):
        self._below, self._upper = below, upper

    def __enter__(self) -> Path:
        self._upper.mkdir(parents=True, exist_ok=True)
        spare, root = (self._upper.with_name(f"{self._upper.name}.{kind}") for kind in ("work", "root"))
        for folder in (spare, root):
            folder.mkdir(exist_ok=True)
        lower = ":".join(str(one) for one in reversed(self._below))
        how = f"lowerdir={lower},upperdir={self._upper},workdir={spare}"
        run(["mount", "-t", "overlay", "overlay", "-o", how, str(root)])
        self._root = root
        return root

    def __exit__(self, *_: object) -> None:
        run(["umount", "--recursive", "--lazy", str(self._root)])


class online:
    """A root with what an engine gives to a step: processes, shared memory, the network, this machine's authorities."""

    def __init__(self, root: Path):
        self._root = root

    def __enter__(self) -> None:
        furnish(self._root)
        resolver = self._root / "etc/resolv.conf"
        run(["mount", "--bind", str(Path("/etc/resolv.conf").resolve()), str(resolver)])
        authorities = os.environ.get("PIP_CERT") or "/etc/ssl/certs/ca-certificates.crt"
        if Path(authorities).exists():
            shutil.copy(authorities, self._root / _CERTIFICATES)

    def __exit__(self, *_: object) -> None:
        for place in ("etc/resolv.conf", "run", "tmp", "dev/shm", "proc"):
            run(["umount", "--lazy", str(self._root / place)])


def furnish(root: Path) -> None:
    """Mount what every process expects: /proc, /dev/shm, and /run and /tmp that leave nothing behind."""
    for place in ("proc", "dev/shm", "run", "tmp"):
        (root / place).mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "proc", "proc", str(root / "proc")])
    for place in ("dev/shm", "run", "tmp"):
        run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(root / place)])


def inside(root: Path, image: Image, words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The command that runs words in a root as the image's user, with these variables alone."""
    user, group = ids(root, image.user)
    values = {"HOME": image.workdir if image.user != "root" else "/root", **environment}
    values.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if image.user == "root":
        values["PATH"] += ":/usr/sbin:/sbin"  # as the image of Debian has it for apt
    variables = [f"{name}={value}" for name, value in values.items()]
    there = ["sh", "-c", f'cd {image.workdir} && exec "$@"', "sh"]
    return ["chroot", f"--userspec={user}:{group}", str(root), "/usr/bin/env", "-i", *variables, *there, *words]


def ids(root: Path, user: str) -> tuple[int, int]:
    """The numbers of a user of a root."""
    for line in (root / "etc/passwd").read_text().splitlines():
        name, _, number, group, *_ = line.split(":")
        if user in (name, number):
            return int(number), int(group)
    found = pwd.getpwnam(user)
    return found.pw_uid, found.pw_gid


def unmount(folder: Path) -> None:
    """Undo every mount below a folder, the last one first, so that what is removed there is of nobody else."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed(places):
        if Path(place).is_relative_to(folder):
            run(["umount", "--lazy", place])


def size_of(layers: Sequence[Path], work: Path) -> float:
    """Megabytes (1e6 bytes) of all files of an image."""
    with mounted(layers, work / "measured") as root:
        done = subprocess.run(
            ["du", "--summarize", "--bytes", "--one-file-system", str(root)], capture_output=True, text=True, check=True
        )
    return int(done.stdout.split()[0]) / 1e6


def run(words: Sequence[str], what: str = "") -> None:
    """Run a command; raises `Failed` with `what` it was, by default the command, and the end of what it said."""
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-15:])
        raise Failed(f"{(what or ' '.join(words))[:300]} left with {done.returncode}", "", end)


def _network() -> dict[str, str]:
    """What this machine's network asks of pip; no image keeps it."""
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return {**proxies, "PIP_CERT": f"/{_CERTIFICATES}", "SSL_CERT_FILE": f"/{_CERTIFICATES}"}


def _words(stage: Stage, word: str) -> list[str]:
    found = stage.last(word)
    return found.words if found else []
