"""Several devices of one machine as one: which of them a run computes on."""

from __future__ import annotations

from typing import Any, Literal

from seglab.errors import ConfigError


def check_devices(devices: int | Literal["auto"], batch_size: int, backend: str) -> None:
    """Refuse what no machine could do; loads nothing.

    Raises:
        ConfigError: several devices on TensorFlow, or a batch that they cannot share alike.
    """
    if devices == 1:
        return
    if backend != "jax":
        raise ConfigError(
            "several devices on a backend that would learn something else on them",
            code="devices-backend",
            where=f"trainer.devices={devices}",
            found=f"backend={backend}, which takes the loss and the batch statistics of each device's share alone",
            expected="the losses of one device with the same batch, as JAX computes them",
            remedy="backend=jax (pip install 'seglab[jax]'), or trainer.devices=1",
        )
    if devices != "auto" and batch_size % devices:
        raise _not_shared(devices, batch_size)


def chosen_devices(devices: int | Literal["auto"], batch_size: int) -> list[Any]:
    """The devices of JAX that train: so many, or all of the first one's kind for `auto`. Loads JAX.

    Raises:
        ConfigError: there are fewer, or they cannot share a batch alike.
    """
    import jax

    there = jax.devices()
    count = len(there) if devices == "auto" else devices
    if count > len(there):
        raise ConfigError(
            "more devices than there are",
            code="devices-missing",
            where=f"trainer.devices={devices}",
            found=f"{len(there)}: {', '.join(str(device) for device in there)}",
            expected=f"at most {len(there)}",
            remedy="trainer.devices=auto takes what is there",
        )
    if batch_size % count:
        raise _not_shared(count, batch_size)
    return list(there[:count])


def _not_shared(count: int, batch_size: int) -> ConfigError:
    larger = -(-batch_size // count) * count
    return ConfigError(
        "a batch that the devices cannot share alike",
        code="devices-batch",
        where="data.batch_size",
        found=f"{batch_size} for {count} devices",
        expected=f"a multiple of {count}",
        remedy=f"data.batch_size={larger}, or another number of trainer.devices",
    )
