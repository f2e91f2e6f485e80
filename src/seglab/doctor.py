"""Is this machine ready, and is the store healthy? Everything that a run depends on, on one page."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote

from seglab.errors import SeglabError, TrackingError
from seglab.extras import explained, extras_missing
from seglab.run_record import StoreFile, WorkFile
from seglab.runtime.code_version import code_version
from seglab.runtime.reproducibility import load_tensorflow, machine, package_versions
from seglab.safety.secrets import redacted
from seglab.safety.shown_text import shown

_LITTLE_DISK_GB = 2.0
_CORE = ("numpy", "nibabel", "opencv-python-headless", "scipy")  # the others come with extras


@dataclass(frozen=True)
class Diagnosis:
    """One line of the report; `ok` is False for what must be mended."""

    label: str
    text: str
    ok: bool = True


def examine(uri: str | None, directory: Path, *, repair: bool = False) -> Iterator[Diagnosis]:
    """Look at everything, cheapest first. Marks runs whose process is gone as KILLED.

    Args:
        uri: the store, as `tracking.uri`.
        directory: the local folder of runs, normally `mlruns/`.
        repair: let a store that was moved look for its artifacts where it is now.
    """
    followed_by_mlflow = os.environ.get("MLFLOW_TRACKING_URI")
    if followed_by_mlflow and followed_by_mlflow != uri:
        text = (
            f"MLFLOW_TRACKING_URI={redacted(followed_by_mlflow)} is not followed; tracking.uri says where runs are kept"
        )
        yield Diagnosis("Variable", text)
    store = partial(_store, uri, directory, repair)
    for part in (_software, _machine, _arithmetic, _jax, store, partial(_disk, directory)):
        yield from _guarded(part)


def _guarded(part: Callable[[], Iterator[Diagnosis]]) -> Iterator[Diagnosis]:
    """A part that fails is a finding; the rest of the page is still wanted."""
    try:
        yield from part()
    except (SeglabError, ImportError) as error:
        missing = explained(error, "seglab doctor") if isinstance(error, ModuleNotFoundError) else error
        if missing is not error and isinstance(
            missing, SeglabError
        ):  # nothing is wrong with an extra that is not there
            yield Diagnosis("Left out", f"{missing.found}: {missing.remedy}")
        else:
            yield Diagnosis("Trouble", str(error), ok=False)


def _software() -> Iterator[Diagnosis]:
    code = code_version(Path(__file__).parent)
    commit = "no git repository" if code.commit is None else code.commit[:12] + (" with changes" if code.dirty else "")
    yield Diagnosis("Code", commit)
    yield Diagnosis("Python", f"{platform.python_version()} in {sys.prefix}")
    versions = package_versions()
    broken = [name for name in _CORE if versions[name] == "absent"]
    yield Diagnosis("Packages", ", ".join(f"{name} {version}" for name, version in versions.items()), ok=not broken)
    missing = extras_missing()
    text = f"not installed: {', '.join(missing)}; such as: pip install 'seglab[{missing[0]}]'" if missing else "all"
    yield Diagnosis("Extras", text)


def _machine() -> Iterator[Diagnosis]:
    found = machine()
    cores = f"{found.usable_cores} of {found.cores} cores"
    yield Diagnosis("Machine", f"{found.host}, {found.system}, {found.processor}, {cores}, {found.memory_gb} GB")
    fast = {"AMX-BF16": "amx_bf16", "AVX512-BF16": "avx512_bf16"}
    bfloat16 = ", ".join(f"{name} {'yes' if flag in found.cpu_flags else 'no'}" for name, flag in fast.items())
    yield Diagnosis("CPU flags", f"{bfloat16}; of note: {' '.join(found.cpu_flags) or 'none known'}")


def _arithmetic() -> Iterator[Diagnosis]:
    load_tensorflow()
    import tensorflow as tf

    from seglab.runtime.gpu_use import gpu_given, gpu_there, why_unused
    from seglab.runtime.precision import choose_policy, find_device

    gpus = [gpu.name for gpu in tf.config.list_physical_devices("GPU")]
    built = "with" if tf.test.is_built_with_cuda() else "without"
    wanted = gpu_given() or gpu_there()
    if wanted and not gpus:
        reason = why_unused("tensorflow")
        yield Diagnosis("GPUs", f"{wanted}, but {reason.found}: {reason.remedy}", ok=not gpu_given())
    else:
        yield Diagnosis("GPUs", ", ".join(gpus) or f"none (TensorFlow {tf.__version__} is built {built} CUDA)")
    choice = choose_policy("auto", find_device())
    yield Diagnosis("Precision", f"auto is {choice.policy}: {choice.reason}")


def _jax() -> Iterator[Diagnosis]:
    from seglab.runtime.gpu_use import gpu_given, gpu_there, search_output, why_unused

    version = package_versions()["jax"]
    if version == "absent":
        yield Diagnosis("JAX", "not installed; for backend=jax: pip install 'seglab[jax]'")
        return
    devices = search_output("jax").strip().rpartition("\n")[2]
    text = f"{version} on {devices}"
    wanted = gpu_given() or gpu_there()
    if wanted and "cuda" not in devices.lower():
        reason = why_unused("jax")
        text += f"; {wanted}, but {reason.found}: {reason.remedy}"
    yield Diagnosis("JAX", text)


def _store(uri: str | None, directory: Path, repair: bool) -> Iterator[Diagnosis]:
    from seglab.tracking.health import check_file, runs_with_artifacts

    absent = uri is None and not (directory / StoreFile.DATABASE).exists()
    if absent and (directory.is_dir() or not os.path.lexists(directory)) and not runs_with_artifacts(directory):
        yield Diagnosis("Store", f"none yet in {directory}; the first run makes it")
        return
    from seglab.tracking.heartbeat import mark_stale_runs
    from seglab.tracking.outbox import REFUSED
    from seglab.tracking.repair_paths import former_places, relocate
    from seglab.tracking.sqlite_address import sqlite_file
    from seglab.tracking.store import open_store

    file = directory / StoreFile.DATABASE if uri is None else sqlite_file(uri)
    damage = check_file(file) if file is not None and not absent else ""
    if damage:
        remedy = "restore it from a copy, or move it away to begin with an empty one"
        yield Diagnosis("Store", f"{damage}: {remedy}", ok=False)
        return
    store = open_store(uri, directory)
    start = time.perf_counter()
    stale = []
    try:
        store.check_writable()
        stale = mark_stale_runs(store)
    except TrackingError as error:
        yield Diagnosis("Store", f"{error.what}: {error.where}, {error.found}", ok=False)
    runs = store.counts()
    seconds = time.perf_counter() - start
    counts = ", ".join(f"{count} {status}" for status, count in sorted(runs.items()))
    yield Diagnosis("Store", f"{store.place} answers in {seconds * 1000:.0f} ms; runs: {counts or 'none'}")
    orphans = runs_with_artifacts(directory) if store.embedded and not runs else []
    if orphans:
        text = (
            f"artifacts of {len(orphans)} runs in {directory} that the database does not know: restore it from a copy"
        )
        yield Diagnosis("Lost runs", text, ok=False)
    for run in stale:
        yield Diagnosis("Stale run", f"{run.info.run_id} ({run.info.run_name}): its process is gone; marked KILLED")
    kept = relocate(store) if repair else None
    if kept is not None:
        yield Diagnosis("Repaired", f"artifacts are looked for in {store.directory}; the database before that: {kept}")
    moved = former_places(store)
    for former in moved:
        link = f"ln -s {quote(str(store.directory))} {quote(str(former))}"
        text = f"looked for in {former}: seglab doctor repair=true, or {link}"
        yield Diagnosis("Artifacts", text, ok=False)
    if not moved:
        yield Diagnosis(
            "Artifacts", "kept by the server" if store.served else str(store.directory / StoreFile.ARTIFACTS)
        )
    for box in sorted(store.directory.glob(f"runs/*/{WorkFile.OUTBOX}")):
        waiting, refused = len(list(box.glob("*.json"))), len(list((box / REFUSED).glob("*.json")))
        if waiting or refused:
            text = f"run {box.parent.name}: {waiting} records wait (seglab sync)"
            if refused:
                text += f", {refused} were refused (why: {box / REFUSED}; try again: seglab sync refused=true)"
            yield Diagnosis("Outbox", text, ok=not refused)


def _disk(directory: Path) -> Iterator[Diagnosis]:
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / 2**30
    yield Diagnosis("Disk", f"{free:.1f} GB free for {directory}", ok=free > _LITTLE_DISK_GB)


def report(uri: str | None, directory: Path, *, repair: bool = False) -> int:
    """Print what `examine` finds; 0 when nothing must be mended, 1 otherwise."""
    wrong = 0
    for finding in examine(uri, directory, repair=repair):
        wrong += not finding.ok
        print(f"{'  ' if finding.ok else '! '}{finding.label:<11} {shown(redacted(finding.text))}", flush=True)
    print("Nothing to repair." if not wrong else f"{wrong} to repair, marked with !")
    return 1 if wrong else 0
