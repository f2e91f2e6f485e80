"""A step of Keras, compiled by JAX: a pure function from all variables and a batch to the logs and all variables."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seglab.runtime.several_devices import Devices, chosen_devices
from seglab.schedules import Schedule

State = tuple[list[Any], ...]


def compiled_step(
    model: keras.Model, training: bool, devices: Devices = 1, part: int | None = None
) -> Callable[..., Any]:
    """From the state and a batch to the logs and the state; a shorter last batch is compiled apart.

    The state is what Keras's own step on JAX takes: values of the variables that train, of the model's others, of the
    optimizer when `training`, and of the metrics.

    Several devices hold the same state, and each a share of the batch. It is one program of the whole batch: JAX makes
    sums over all devices of those in the loss, the batch statistics and the metrics. A last batch that cannot be shared
    alike is computed whole by each. The devices may be those of several processes, each of which is given the whole
    batch and takes what is its own; the state that comes back spans all of them (`own` gives this process's copy).

    With `part`, so many images are computed at once, and there is one update for the whole batch.
    """
    chosen = [] if devices in (1, None) and jax.process_count() == 1 else chosen_devices(devices, 0)

    def step(state: State, batch: tuple[Any, Any]) -> Any:
        groups = () if part is None else _parts(batch, part, max(len(chosen), 1))
        return (_learn if training else _score)(model, state, batch, groups)

    if len(chosen) < 2:
        return jax.jit(step, donate_argnums=0)
    mesh = Mesh(np.array(chosen), ("batch",))
    everywhere, shared = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("batch"))
    compiled = jax.jit(step, donate_argnums=0, out_shardings=everywhere)

    def on_all(state: State, batch: tuple[Any, Any]) -> Any:
        sharding = shared if len(batch[0]) % len(chosen) == 0 else everywhere
        if jax.process_count() == 1:
            return compiled(state, jax.device_put(batch, sharding))
        return compiled(_spread(state, everywhere), tuple(_share(np.asarray(values), sharding) for values in batch))

    return on_all


def own(result: Any) -> Any:
    """What a step gives back, as arrays of this process alone, which it may compute with without the others."""
    return jax.tree.map(lambda value: value if value.is_fully_addressable else value.addressable_data(0), result)


def _share(values: np.ndarray, sharding: NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def _spread(state: State, everywhere: NamedSharding) -> State:
    """The state, which is the same in each process, on all devices of all of them."""
    here = [device for device in everywhere.mesh.devices.flat if device.process_index == jax.process_index()]

    def spread(value: Any) -> jax.Array:
        if not value.is_fully_addressable:
            return value  # type: ignore[no-any-return]
        copies = [jax.device_put(value, device) for device in here]
        return jax.make_array_from_single_device_arrays(value.shape, everywhere, copies)

    return jax.tree.map(spread, state)  # type: ignore[no-any-return]


def keep_with_optimizer(optimizer: keras.optimizers.Optimizer, schedule: Schedule | None) -> None:
    """Make the schedule's scale a variable of the optimizer: what is none of the state is compiled in as a constant."""
    if schedule is not None:
        getattr(optimizer, "inner_optimizer", optimizer)._track_variable(schedule.scale)


def _parts(batch: tuple[Any, Any], size: int, devices: int) -> list[tuple[Any, Any]]:
    """The batch as arrays `(parts, size, …)`, and what is left of it as `(1, rest, …)`.

    Each device keeps the images that it has: a part takes some of each.
    """
    count = len(batch[0])
    shares = devices if count % devices == 0 and size % devices == 0 else 1
    whole = count // size

    def cut(values: Any) -> tuple[Any, Any]:
        by_device = values.reshape(shares, count // shares, *values.shape[1:])
        first, rest = jnp.split(by_device, [whole * size // shares], axis=1)
        first = first.reshape(shares, whole, size // shares, *values.shape[1:]).swapaxes(0, 1)
        return first.reshape(whole, size, *values.shape[1:]), rest.reshape(1, -1, *values.shape[1:])

    (x, x_rest), (y, y_rest) = map(cut, batch)
    return [(images, labels) for images, labels in ((x, y), (x_rest, y_rest)) if images.shape[0] * images.shape[1]]


def _in_turn(one: Callable[..., Any], carried: Any, batch: tuple[Any, Any], groups: Sequence[Any]) -> tuple[Any, Any]:
    """What `one` carries on from part to part, and the logs of the last; without parts, of the whole batch."""
    if not groups:
        return one(carried, batch)  # type: ignore[no-any-return]
    for group in groups:
        carried, part_logs = jax.lax.scan(one, carried, group)
        logs = jax.tree.map(lambda values: values[-1], part_logs)
    return carried, logs


def _score(model: keras.Model, state: State, batch: tuple[Any, Any], groups: Sequence[Any]) -> tuple[Any, State]:
    """Keras's own step."""

    def one(state: State, part: tuple[Any, Any]) -> tuple[State, Any]:
        logs, state = model.test_step(state, part)
        return state, logs

    state, logs = _in_turn(one, state, batch, groups)
    return logs, state


def _learn(model: keras.Model, state: State, batch: tuple[Any, Any], groups: Sequence[Any]) -> tuple[Any, State]:
    """Keras's own step, but for a frozen encoder: its optimizer wants to be given all variables that it was built with.

    Frozen ones have no gradient, as on TensorFlow, and their moving averages go on.
    """
    trained, others, optimized, measured = state
    gradient = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)

    def one(carried: Any, part: tuple[Any, Any]) -> tuple[Any, Any]:
        others, measured, sums = carried
        x, y = part
        (_, (loss, y_pred, others, measured)), slopes = gradient(
            trained, others, measured, x, y, None, training=True, optimizer_variables=optimized
        )
        logs, measured = model._update_metrics_variables(measured, loss, x, y, y_pred, None)
        if groups:
            slopes = [total + len(x) / len(batch[0]) * slope for total, slope in zip(sums, slopes, strict=True)]
        return (others, measured, slopes), logs

    begun = [jnp.zeros_like(value) for value in trained] if groups else []
    (others, measured, slopes), logs = _in_turn(one, (others, measured, begun), batch, groups)
    known = {id(variable): value for variable, value in zip(model.non_trainable_variables, others, strict=True)}
    known |= {id(variable): value for variable, value in zip(model.trainable_variables, trained, strict=True)}
    slope = {id(variable): value for variable, value in zip(model.trainable_variables, slopes, strict=True)}
    every = [id(variable) for variable in model.optimizer._trainable_variables]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gradients do not exist for variables")  # the frozen ones
        updated, optimized = model.optimizer.stateless_apply(
            optimized, [slope.get(key) for key in every], [known[key] for key in every]
        )
    new = dict(zip(every, updated, strict=True))
    trained = [new[id(variable)] for variable in model.trainable_variables]
    return logs, (trained, others, optimized, measured)
