"""A step of Keras, compiled by JAX: a pure function from all variables and a batch to the logs and all variables."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seglab.runtime.several_devices import chosen_devices
from seglab.schedules import Schedule

State = tuple[list[Any], ...]


def compiled_step(model: keras.Model, training: bool, devices: int | Literal["auto"] = 1) -> Callable[..., Any]:
    """From the state and a batch to the logs and the state; a shorter last batch is compiled apart.

    The state is what Keras's own step on JAX takes: values of the variables that train, of the model's others, of the
    optimizer when `training`, and of the metrics.

    Several devices hold the same state, and each a share of the batch. It is one program of the whole batch: JAX makes
    sums over all devices of those in the loss, the batch statistics and the metrics. A last batch that cannot be shared
    alike is computed whole by each.
    """
    step: Callable[..., Any] = (lambda state, batch: _learn(model, state, batch)) if training else model.test_step
    chosen = [] if devices == 1 else chosen_devices(devices, 0)
    if len(chosen) < 2:
        return jax.jit(step, donate_argnums=0)
    mesh = Mesh(np.array(chosen), ("batch",))
    everywhere, shared = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("batch"))
    compiled = jax.jit(step, donate_argnums=0, out_shardings=everywhere)

    def on_all(state: State, batch: tuple[Any, Any]) -> Any:
        return compiled(state, jax.device_put(batch, shared if len(batch[0]) % len(chosen) == 0 else everywhere))

    return on_all


def keep_with_optimizer(optimizer: keras.optimizers.Optimizer, schedule: Schedule | None) -> None:
    """Make the schedule's scale a variable of the optimizer: what is none of the state is compiled in as a constant."""
    if schedule is not None:
        getattr(optimizer, "inner_optimizer", optimizer)._track_variable(schedule.scale)


def _learn(model: keras.Model, state: State, batch: tuple[Any, Any]) -> tuple[dict[str, Any], State]:
    """Keras's own step, but for a frozen encoder: its optimizer wants to be given all variables that it was built with.

    Frozen ones have no gradient, as on TensorFlow, and their moving averages go on.
    """
    trained, others, optimized, measured = state
    x, y = batch
    gradient = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
    (_, (loss, y_pred, others, measured)), slopes = gradient(
        trained, others, measured, x, y, None, training=True, optimizer_variables=optimized
    )
    known = {id(variable): value for variable, value in zip(model.non_trainable_variables, others, strict=True)}
    known |= {id(variable): value for variable, value in zip(model.trainable_variables, trained, strict=True)}
    slope = {id(variable): value for variable, value in zip(model.trainable_variables, slopes, strict=True)}
    every = [id(variable) for variable in model.optimizer._trainable_variables]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gradients do not exist for variables")  # the frozen ones
        updated, optimized = model.optimizer.stateless_apply(
            optimized, [slope.get(one) for one in every], [known[one] for one in every]
        )
    new = dict(zip(every, updated, strict=True))
    trained = [new[id(variable)] for variable in model.trainable_variables]
    logs, measured = model._update_metrics_variables(measured, loss, x, y, y_pred, None)
    return logs, (trained, others, optimized, measured)
