"""Several devices as one: which of them a run computes on."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from seglab.errors import ConfigError

# As `trainer.devices` says: so many of each process, all that each has, or, by default, one of a process that is alone
# and all of each of several.
Devices: TypeAlias = int | Literal["auto"] | None


def check_devices(devices: Devices, batch_size: int, backend: str, processes: int = 1) -> None:
    """Refuse what no machine could do; loads nothing.

    Args:
        devices: of each process.
        batch_size: of all of them.
        backend: that computes.
        processes: that train together.

    Raises:
        ConfigError: several devices on TensorFlow, or a batch that they cannot share alike.
    """
    if devices in (1, None) and processes == 1:
        return
    if backend != "jax":
        raise ConfigError(
            "several devices on a backend that would learn something else on them",
            code="devices-backend",
            where=f"trainer.devices={devices}" if processes == 1 else f"{processes} processes",
            found=f"backend={backend}, which takes the loss and the batch statistics of each device's share alone",
            expected="the losses of one device with the same batch, as JAX computes them",
            remedy="backend=jax (pip install 'seglab[jax]'), or "
            + ("trainer.devices=1" if processes == 1 else "one process: launcher.nodes=1, without SEGLAB_PROCESSES"),
        )
    least = processes * (devices if isinstance(devices, int) else 1)
    if batch_size % least:
        raise _not_shared(least, batch_size)


def chosen_devices(devices: Devices, batch_size: int) -> list[Any]:
    """The devices of JAX that train, as many of each process. Loads JAX.

    Raises:
        ConfigError: there are fewer, one process has more than another, or they cannot share a batch alike.
    """
    import jax

    there: dict[int, list[Any]] = {}
    for device in jax.devices():
        there.setdefault(device.process_index, []).append(device)
    least, most = min(map(len, there.values())), max(map(len, there.values()))
    if least < most:
        raise ConfigError(
            "processes that do not have the same number of devices",
            code="devices-missing",
            where=f"{len(there)} processes",
            found=", ".join(f"{len(own)} of process {number}" for number, own in sorted(there.items())),
            expected="as many of each process",
            remedy=f"let each see {least}, say by CUDA_VISIBLE_DEVICES, or ask for as many GPUs on each node",
        )
    if devices is None:
        devices = 1 if len(there) == 1 else "auto"
    each = least if devices == "auto" else devices
    if each > least:
        raise ConfigError(
            "more devices than there are",
            code="devices-missing",
            where=f"trainer.devices={devices}",
            found=f"{least}: {', '.join(map(str, jax.devices()))}",
            expected=f"at most {least}" + (" of each process" if len(there) > 1 else ""),
            remedy="trainer.devices=auto takes what is there",
        )
    count = each * len(there)
    if batch_size % count:
        raise _not_shared(count, batch_size)
    return [device for own in there.values() for device in own[:each]]


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
