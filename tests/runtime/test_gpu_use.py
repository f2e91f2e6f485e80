"""A GPU that was asked for and is not used is an error, which names the library that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seglab import doctor
from seglab.errors import ConfigError
from seglab.runtime import gpu_use
from seglab.runtime.gpu_use import check_gpu_used, gpu_given, gpu_there, why_unused
from seglab.runtime.precision import Device

CPU = Device("cpu", "CPU")
needs_no_gpu = pytest.mark.skipif(bool(gpu_there(variables={})), reason="of machines without a GPU")


@pytest.mark.parametrize(
    ("variables", "given"),
    [
        ({}, ""),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "CUDA_VISIBLE_DEVICES=1"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f2a"}, "CUDA_VISIBLE_DEVICES=GPU-8f2a"),
        ({"CUDA_VISIBLE_DEVICES": "-1", "SLURM_JOB_GPUS": "0"}, ""),
        ({"CUDA_VISIBLE_DEVICES": ""}, ""),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ""),
        ({"SLURM_JOB_GPUS": "2,3"}, "SLURM_JOB_GPUS=2,3"),
        ({"SLURM_GPUS_ON_NODE": "0"}, ""),
        ({"SLURM_GPUS_ON_NODE": "4"}, "SLURM_GPUS_ON_NODE=4"),
    ],
)
def test_a_gpu_is_asked_for_by_variables(variables: dict[str, str], given: str) -> None:
    assert gpu_given(variables) == given


def test_a_gpu_is_there_where_the_driver_made_its_file(tmp_path: Path) -> None:
    (tmp_path / "nvidiactl").touch()
    assert gpu_there(tmp_path, {}) == ""
    (tmp_path / "nvidia1").touch()
    assert gpu_there(tmp_path, {}) == str(tmp_path / "nvidia1")
    assert gpu_there(tmp_path, {"CUDA_VISIBLE_DEVICES": ""}) == "", "hidden"


def test_who_has_a_gpu_or_wants_none_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_use, "search_output", lambda backend: pytest.fail("nobody asked for a GPU"))
    check_gpu_used(CPU, "tensorflow", {})
    check_gpu_used(Device("gpu", "H100"), "tensorflow", {"CUDA_VISIBLE_DEVICES": "0"})


# What TensorFlow 2.21 and JAX 0.10 say; the first three were seen, with a driver that was a stub.
@pytest.mark.parametrize(
    ("backend", "message", "found", "remedy"),
    [
        (
            "tensorflow",
            "I0000 dso_loader.cc:144] Could not load dynamic library 'libcuda.so.1'; dlerror: libcuda.so.1: cannot "
            "open shared object file: No such file\nE0000 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n[]",
            "libcuda.so.1, NVIDIA's driver, cannot be loaded",
            "docker run --gpus all",
        ),
        (
            "tensorflow",
            "I0000 dso_loader.cc:133] Successfully opened dynamic library libcuda.so.1\n"
            "I0000 dso_loader.cc:144] Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot\n"
            "I0000 dso_loader.cc:144] Could not load dynamic library 'libcufft.so.11'; dlerror: libcufft.so.11: no\n[]",
            ": libcudnn.so.9, libcufft.so.11 cannot be loaded",
            "pip install 'tensorflow[and-cuda]==2.",
        ),
        (
            "tensorflow",
            "E0000 cuda_platform.cc:52] failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device\n[]",
            "failed call to cuInit: CUDA_ERROR_NO_DEVICE: no CUDA-capable device",
            "nvidia-smi",
        ),
    ],
)
def test_the_reason_is_what_the_backend_itself_misses(
    monkeypatch: pytest.MonkeyPatch, backend: str, message: str, found: str, remedy: str
) -> None:
    monkeypatch.setattr(gpu_use, "search_output", lambda backend: message)
    reason = why_unused(backend)
    assert reason.found.endswith(found)
    assert remedy in reason.remedy


def train(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = ("-m", "seglab", "train", "debug=fast", *words)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0", **variables}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@needs_no_gpu
@pytest.mark.slow
def test_a_run_that_was_given_a_gpu_and_has_none_leaves_no_run_behind(tmp_path: Path) -> None:
    done = train(tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        "error: a GPU was asked for and is not used [gpu-not-used]\n  where:    CUDA_VISIBLE_DEVICES=0\n" in done.stderr
    )
    assert "found:    TensorFlow computes on the CPU: libcuda.so.1, NVIDIA's driver, cannot be loaded" in done.stderr
    assert not list(tmp_path.glob("mlruns/runs/*"))
    assert train(tmp_path, CUDA_VISIBLE_DEVICES="").returncode == 0


@needs_no_gpu
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="a stub of the driver is compiled")
def test_with_a_driver_the_next_missing_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "driver.c").write_text(
        "int cuInit(unsigned flags) { return 0; }\n"
        "int cuDriverGetVersion(int *version) { *version = 12080; return 0; }\n"
    )
    words = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "libcuda.so.1"), str(tmp_path / "driver.c")]
    subprocess.run(words, check=True)
    done = train(tmp_path, LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "TensorFlow computes on the CPU: libnvidia-ml.so.1 cannot be loaded" in done.stderr
    assert "pip install 'tensorflow[and-cuda]==2." in done.stderr


@needs_no_gpu
@pytest.mark.slow
def test_jax_misses_its_plug_in_for_cuda(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    done = train(tmp_path, "backend=jax")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "found:    JAX computes on the CPU: no module jax_cuda12_plugin" in done.stderr
    assert "remedy:   pip install 'jax[cuda12]==0." in done.stderr


@needs_no_gpu
def test_doctor_marks_a_gpu_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gpu_use, "search_output", lambda backend: "Could not load dynamic library 'libcudnn.so.9'; dlerror\n[]"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    (gpus, *_) = doctor._arithmetic()
    assert not gpus.ok
    assert "CUDA_VISIBLE_DEVICES=0, but TensorFlow computes on the CPU: libcudnn.so.9 cannot be loaded" in gpus.text
    (jax,) = doctor._jax()
    assert "pip install 'seglab[jax]'" in jax.text or "on " in jax.text
    with pytest.raises(ConfigError, match=r"libcudnn\.so\.9"):
        check_gpu_used(CPU, "tensorflow")
