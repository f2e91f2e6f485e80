"""The card of a model: layers, parameters, operations of a forward pass, memory of a training step."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from seglab.runtime.memory import peak_bytes

GIGA = 1e9
MEBI = 2**20


def model_summary(model: keras.Model, batch_size: int) -> str:
    """The card as text. Runs one training step on random images to measure its memory.

    Args:
        model: a built model with a known input size and one input.
        batch_size: of the training step whose memory is told.
    """
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    total = model.count_params()
    flops = forward_flops(model)
    size = " x ".join(str(side) for side in model.inputs[0].shape[1:])
    estimated = estimated_training_bytes(model, batch_size)
    measured = measured_training_bytes(model, batch_size)
    where = "on the GPU" if _gpu() else "growth of this process, tracing included"
    facts = {
        "model": model.name,
        "input": size,
        "precision": model.dtype_policy.name,
        "parameters": f"{total:,} ({trainable:,} trainable)",
        "forward pass": f"{flops / GIGA:,.3f} GFLOP an input (kernels and attention, a multiply-add is 2)",
        "training step": f"about {3 * flops / GIGA:,.3f} GFLOP an input (the backward pass costs twice the forward)",
        "memory, estimated": f"{estimated / MEBI:,.0f} MiB for a training step with Adam and batch size {batch_size}",
        "memory, measured": f"{measured / MEBI:,.0f} MiB ({where})",
    }
    return "\n".join([layer_table(model), "", *(f"{name + ':':<19}{fact}" for name, fact in facts.items())])


def layer_table(model: keras.Model) -> str:
    """One line for each layer: name, type, output, parameters, MFLOP of a forward pass for one input."""
    rows = [("layer", "type", "output", "parameters", "MFLOP")]
    for layer in leaf_layers(model):
        output = keras.tree.flatten(layer.output)[0]
        shape = " x ".join(str(side) for side in output.shape[1:])
        mflop = 2 * _multiply_adds(layer) / 1e6
        rows.append((layer.name, type(layer).__name__, shape, f"{layer.count_params():,}", f"{mflop:,.1f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    aligned = [
        "  ".join(
            cell.rjust(width) if i > 2 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([aligned[0], "-" * len(aligned[0]), *aligned[1:]])


def forward_flops(model: keras.Model) -> int:
    """Floating-point operations of a forward pass for one input: 2 for each multiply-add of a layer with a kernel.

    A convolution does, at each output position, kernel volume x input channels (of the group) x filters; a transposed
    one the same at each input position; attention does two products for each pair of positions and channel. Biases,
    normalisations, activations, pooling and interpolation are left out: they are memory traffic more than arithmetic.
    """
    return sum(2 * _multiply_adds(layer) for layer in leaf_layers(model))


def leaf_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """All layers in order, with nested models replaced by their own."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from leaf_layers(layer)
        else:
            yield layer


def _multiply_adds(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one layer for one input, from the shapes of its kernel and of its symbolic tensors."""
    if hasattr(layer, "multiply_adds"):  # attention: products of positions with one another, and no kernel
        return int(layer.multiply_adds())
    kernel = getattr(layer, "kernel", None)
    if kernel is None:
        return 0
    positions_of = layer.input if "Transpose" in type(layer).__name__ else layer.output
    return math.prod(positions_of.shape[1:-1]) * math.prod(kernel.shape)


def estimated_training_bytes(model: keras.Model, batch_size: int) -> int:
    """Bytes of a training step with Adam: weights, gradients, two slots each, every layer's output and the weights of
    attention kept.

    An estimate from shapes: what a framework fuses, frees early or keeps besides is not known to it.
    """
    trainable = sum(_bytes(v.shape, v.dtype) for v in model.trainable_variables)
    fixed = sum(_bytes(v.shape, v.dtype) for v in model.non_trainable_variables)
    activations = sum(
        _bytes(tensor.shape[1:], tensor.dtype)
        for layer in leaf_layers(model)
        for tensor in keras.tree.flatten(layer.output)
    )
    activations += sum(int(layer.inner_bytes()) for layer in leaf_layers(model) if hasattr(layer, "inner_bytes"))
    return 4 * trainable + fixed + batch_size * activations


def _bytes(shape: Any, dtype: str) -> int:
    return math.prod(shape) * np.dtype("float16" if dtype == "bfloat16" else dtype).itemsize


def measured_training_bytes(model: keras.Model, batch_size: int) -> int:
    """How far memory rises above what it was (of this process; on a GPU, of the device) in two steps on random images.

    The model is trained by these steps, so measure one that is not needed afterwards, in a fresh process: what an
    allocator keeps from before is used again and not seen. The loss is the mean square of the logits, whose own memory
    is small.
    """
    images = np.random.default_rng(0).random((batch_size, *model.inputs[0].shape[1:]), "float32")
    truth = np.zeros((batch_size, *model.inputs[0].shape[1:-1]), "int32")
    model.compile(optimizer="adam", loss=lambda _, y_pred: ops.mean(ops.square(y_pred)))
    memory = _GpuMemory() if _gpu() else ProcessMemory()
    before = memory.start()
    for _ in range(2):
        model.train_on_batch(images, truth)
    return memory.peak() - before


class ProcessMemory:
    """Resident memory in bytes and its peak since `start`."""

    def start(self) -> int:
        if sys.platform != "linux":
            return self.peak()
        # Linux forgets the peak so far when asked to; elsewhere a larger peak that lies behind hides a smaller one.
        Path("/proc/self/clear_refs").write_text("5")
        return self.peak()

    def peak(self) -> int:
        return peak_bytes()


class _GpuMemory:
    """Memory of the first GPU in bytes and its peak since `start`."""

    def start(self) -> int:
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
        return tf.config.experimental.get_memory_info("GPU:0")["current"]

    def peak(self) -> int:
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def _gpu() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
