"""Training steps of the same U-Net in PyTorch: channels last, autocast, compiled or not: one line of JSON for each.

python torch_steps.py [--tiny]; needs torch, and of seglab nothing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.gpu.cases import CASES, FORMATS, TINY, StepCase
from benchmarks.speed.torch_worker import UNet

SECONDS, LEAST = 1.0, 5


def step_of(case: StepCase, policy: str, device: str, *, compiled: bool) -> Callable[[], None]:
    """A whole step, which waits for the device."""
    number = getattr(torch, policy.removeprefix("mixed_"))
    torch.manual_seed(0)
    memory = torch.channels_last if case.rank == 2 else torch.channels_last_3d
    model: nn.Module = UNet(case.rank, case.width).to(device, memory_format=memory)
    x = torch.rand((case.batch, 1, *case.size), device=device).to(memory_format=memory)
    y = (x > 0.5).float()
    optimizer, loss_of = torch.optim.Adam(model.parameters(), fused=device == "cuda"), nn.BCEWithLogitsLoss()
    scaler = torch.amp.GradScaler(device, enabled=policy == "mixed_float16" and device == "cuda")
    network = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.autocast(device, number, enabled=number != torch.float32):
            logits = network(x)
        loss = loss_of(logits.float(), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()

    return step


def main(*, tiny: bool) -> None:
    """Measure all: first as it is, which takes seconds, then compiled."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")  # TF32, as Keras has it
    for compiled in (False,) if tiny else (False, True):
        how = f"channels last{', compiled' if compiled else ''}"
        for case in TINY if tiny else CASES:
            for policy in FORMATS:
                facts = {"kind": "step", "who": "torch", "case": case.name, "format": policy, "how": how}
                try:
                    step = step_of(case, policy, device, compiled=compiled)
                    for _ in range(3):
                        step()
                    began, times = time.perf_counter(), 0
                    while times < LEAST or (not tiny and time.perf_counter() - began < SECONDS):
                        step()
                        times += 1
                    print(json.dumps(facts | {"seconds": (time.perf_counter() - began) / times}), flush=True)
                except Exception as error:
                    print(json.dumps(facts | {"failed": (str(error).splitlines() or [""])[0][:200]}), flush=True)


if __name__ == "__main__":
    main(tiny="--tiny" in sys.argv)
