"""The same U-Net in PyTorch: answers with the seconds of one training step. Needs torch and nothing of seglab.

python torch_worker.py <rank> <float32|bfloat16> <contiguous|channels_last>
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

SHAPES = {2: ((128, 128), 8, 32), 3: ((64, 64, 64), 2, 16)}


def block(rank: int, channels: int, filters: int) -> nn.Sequential:
    """Two convolutions, each with batch norm and ReLU."""
    convolution = (nn.Conv2d, nn.Conv3d)[rank - 2]
    norm = (nn.BatchNorm2d, nn.BatchNorm3d)[rank - 2]
    layers: list[nn.Module] = []
    for source in (channels, filters):
        layers += [convolution(source, filters, 3, padding=1, bias=False), norm(filters), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Three levels and a bottleneck, nearest upsampling, concatenating skips."""

    def __init__(self, rank: int, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width]
        self.down = nn.ModuleList([block(rank, c, f) for c, f in zip([1, *widths], widths, strict=False)])
        self.middle = block(rank, widths[-1], 8 * width)
        self.up = nn.ModuleList([block(rank, 3 * f, f) for f in reversed(widths)])
        self.head = (nn.Conv2d, nn.Conv3d)[rank - 2](width, 1, 1)
        self.pool = (nn.MaxPool2d, nn.MaxPool3d)[rank - 2](2)
        self.twice = nn.Upsample(scale_factor=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the input's size."""
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for stage in self.up:
            x = stage(torch.cat([self.twice(x), skips.pop()], 1))
        return self.head(x)


def main(rank: int, number: str, layout: str) -> None:
    """Answer with seconds for each line on standard input."""
    size, batch, width = SHAPES[rank]
    torch.manual_seed(0)
    model, x = UNet(rank, width), torch.rand((batch, 1, *size))
    if layout == "channels_last":
        memory = torch.channels_last if rank == 2 else torch.channels_last_3d
        model, x = model.to(memory_format=memory), x.to(memory_format=memory)
    y = (x > 0.5).float()
    optimizer, loss_of = torch.optim.Adam(model.parameters()), nn.BCEWithLogitsLoss()
    print("=> ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=number == "bfloat16"):
            logits = model(x)
        loss = loss_of(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        print(f"=> {time.perf_counter() - start}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
