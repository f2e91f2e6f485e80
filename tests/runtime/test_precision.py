"""The number format for each kind of device, and the sentence that says why."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from seglab.errors import ConfigError
from seglab.runtime import precision
from seglab.runtime.precision import Device, choose_policy, find_device

XEON = Device("cpu", "Xeon", cpu_flags=frozenset({"avx2", "avx512f", "avx512_bf16", "amx_bf16"}))
ZEN4 = Device("cpu", "EPYC", cpu_flags=frozenset({"avx2", "avx512f", "avx512_bf16"}))
OLD = Device("cpu", "i5", cpu_flags=frozenset({"avx2", "avx512f"}))
MAC = Device("cpu", "M3")
H100 = Device("gpu", "H100", (9, 0))
A100 = Device("gpu", "A100", (8, 0))
T4 = Device("gpu", "T4", (7, 5))
V100 = Device("gpu", "V100", (7, 0))
P100 = Device("gpu", "P100", (6, 0))
METAL = Device("gpu", "METAL")


@pytest.mark.parametrize(
    ("device", "policy", "reason"),
    [
        (XEON, "mixed_bfloat16", "Xeon has AMX-BF16"),
        (ZEN4, "mixed_bfloat16", "EPYC has AVX512-BF16"),
        (OLD, "float32", "i5 has neither AMX-BF16 nor AVX512-BF16"),
        (MAC, "float32", "M3 has neither AMX-BF16 nor AVX512-BF16"),
        (H100, "mixed_bfloat16", "H100 has compute capability 9.0"),
        (A100, "mixed_bfloat16", "A100 has compute capability 8.0"),
        (T4, "mixed_float16", "T4 has compute capability 7.5"),
        (V100, "mixed_float16", "V100 has compute capability 7.0"),
        (P100, "float32", "P100 has compute capability 6.0, below 7.0"),
        (METAL, "float32", "METAL states no CUDA compute capability"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_auto_takes_what_the_device_runs_well(device, policy, reason):
    choice = choose_policy("auto", device)
    assert (choice.policy, choice.reason) == (policy, reason)
    # Asked for by name it is the same, and says so.
    asked = choose_policy(policy, device)
    assert (asked.policy, asked.reason) == (policy, f"asked for; {reason}")


@pytest.mark.parametrize(
    ("requested", "device", "reason"),
    [
        ("float32", ZEN4, "asked for; faster: mixed_bfloat16 (EPYC has AVX512-BF16)"),
        (
            "mixed_float16",
            ZEN4,
            "asked for; EPYC has no float16 arithmetic: slow, in 3D by far. Better: mixed_bfloat16",
        ),
        ("mixed_bfloat16", OLD, "asked for; i5 emulates it: slow. Better: float32"),
        ("mixed_bfloat16", T4, "asked for; T4 emulates it: slow. Better: mixed_float16"),
        ("mixed_float16", P100, "asked for; P100 emulates it: slow. Better: float32"),
        ("mixed_float16", H100, "asked for; runs well, and mixed_bfloat16 needs no loss scaling"),
    ],
)
def test_what_is_asked_for_is_taken_and_commented(requested, device, reason):
    choice = choose_policy(requested, device)
    assert (choice.policy, choice.reason) == (requested, reason)


def test_unknown_formats_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)precision\.policy.*mixed_bf16.*auto, float32.*mixed_bfloat16'\?"):
        choose_policy("mixed_bf16", ZEN4)


def test_without_a_gpu_the_device_is_the_cpu_with_its_flags(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(precision, "cpu_flags", lambda: ZEN4.cpu_flags)
    assert find_device() == Device("cpu", "CPU", cpu_flags=ZEN4.cpu_flags)


@pytest.mark.parametrize(
    ("details", "device"),
    [
        ({"device_name": "H100", "compute_capability": (9, 0)}, H100),
        ({"device_name": "METAL"}, METAL),
        ({}, Device("gpu", "/physical_device:GPU:0")),
    ],
)
def test_a_gpu_is_taken_by_the_name_and_capability_that_it_states(monkeypatch, details, device):
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda found: details if found is gpu else {})
    assert find_device() == device


@pytest.mark.parametrize(
    ("policy", "computes"), [("float32", "float32"), ("mixed_float16", "float16"), ("mixed_bfloat16", "bfloat16")]
)
def test_keras_computes_in_what_was_chosen_and_keeps_float32_weights(policy, computes):
    known = keras.dtype_policies.get(choose_policy(policy, ZEN4).policy)
    assert (known.compute_dtype, known.variable_dtype) == (computes, "float32")
