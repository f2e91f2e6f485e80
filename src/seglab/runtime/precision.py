"""The number format that a device runs well."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Literal

from seglab.errors import ConfigError, nearest
from seglab.runtime.reproducibility import cpu_flags

POLICIES = ("auto", "float32", "mixed_float16", "mixed_bfloat16")

# What a CPU calls its arithmetic on bfloat16, fastest first.
_CPU_BFLOAT16 = {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16"}


@dataclass(frozen=True)
class Device:
    """What training will run on.

    Attributes:
        kind: `gpu` or `cpu`.
        name: as the device calls itself.
        compute_capability: (major, minor) of a CUDA GPU, None for anything else.
        cpu_flags: instruction sets in Linux' spelling; None where the backend makes no use of any.
    """

    kind: Literal["cpu", "gpu"]
    name: str
    compute_capability: tuple[int, int] | None = None
    cpu_flags: Set[str] | None = frozenset()


@dataclass(frozen=True)
class PrecisionChoice:
    """A Keras dtype policy and why it was chosen, in a sentence for the log."""

    policy: str
    reason: str


def find_device() -> Device:
    """The first GPU that the backend sees, or the CPU. Loads it."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        first = jax.local_devices()[0]
        if first.platform == "cpu":
            return Device("cpu", "CPU", cpu_flags=None)
        capability = getattr(first, "compute_capability", None)
        version = tuple(int(part) for part in str(capability).split(".")) if capability else None
        return Device("gpu", first.device_kind, (version[0], version[1]) if version else None)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return Device("cpu", "CPU", cpu_flags=cpu_flags())
    details = tf.config.experimental.get_device_details(gpus[0])
    return Device("gpu", details.get("device_name", gpus[0].name), details.get("compute_capability"))


def choose_policy(requested: str, device: Device) -> PrecisionChoice:
    """The dtype policy for `requested`, one of `POLICIES`, on a device.

    `auto` is mixed_bfloat16 on a GPU from compute capability 8.0 and on a CPU with AMX-BF16 or AVX512-BF16,
    mixed_float16 on a GPU from 7.0, float32 elsewhere. Anything else is taken as asked for; the reason then warns of
    what the device has no arithmetic for.

    Raises:
        ConfigError: not one of `POLICIES`.
    """
    if requested not in POLICIES:
        raise ConfigError(
            "an unknown number format",
            code="unknown-precision",
            where="precision.policy",
            found=requested,
            expected="one of " + ", ".join(POLICIES),
            remedy=nearest(requested, POLICIES) or "precision.policy=auto",
        )
    policy, reason = _best(device)
    if requested in ("auto", policy):
        return PrecisionChoice(policy, reason if requested == "auto" else f"asked for; {reason}")
    if requested == "float32":
        return PrecisionChoice(requested, f"asked for; faster: {policy} ({reason})")
    if requested == "mixed_float16" and device.kind == "cpu":
        return PrecisionChoice(
            requested, f"asked for; {device.name} has no float16 arithmetic: slow, in 3D by far. Better: {policy}"
        )
    if requested == "mixed_float16" and device.compute_capability and device.compute_capability >= (8, 0):
        return PrecisionChoice(requested, f"asked for; runs well, and {policy} needs no loss scaling")
    return PrecisionChoice(requested, f"asked for; {device.name} emulates it: slow. Better: {policy}")


def _best(device: Device) -> tuple[str, str]:
    if device.kind == "gpu":
        capability = device.compute_capability
        if capability is None:
            return "float32", f"{device.name} states no CUDA compute capability"
        text = f"{device.name} has compute capability {capability[0]}.{capability[1]}"
        if capability >= (8, 0):
            return "mixed_bfloat16", text
        return ("mixed_float16", text) if capability >= (7, 0) else ("float32", f"{text}, below 7.0")
    if device.cpu_flags is None:
        return "float32", "on a CPU, JAX computes other formats by way of it"
    for flag, name in _CPU_BFLOAT16.items():
        if flag in device.cpu_flags:
            return "mixed_bfloat16", f"{device.name} has {name}"
    return "float32", f"{device.name} has neither {' nor '.join(_CPU_BFLOAT16.values())}"
