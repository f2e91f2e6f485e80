"""The same volume, windows and U-Net with MONAI and PyTorch. Needs torch and monai and nothing of seglab.

python windows_torch.py <float32|bfloat16> <contiguous|channels_last>; answers as windows_keras.py does.
"""

from __future__ import annotations

import resource
import sys
import time

import torch
from monai.inferers import SlidingWindowInferer
from torch_worker import UNet

VOLUME, WINDOW, WIDTH = (192, 192, 160), (64, 64, 64), 16


def peak_mb() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(number: str, layout: str) -> None:
    """Predict a volume for each line."""
    torch.manual_seed(0)
    model = UNet(3, WIDTH).eval()
    memory_format = torch.channels_last_3d if layout == "channels_last" else torch.contiguous_format
    model = model.to(memory_format=memory_format)
    infer = SlidingWindowInferer(WINDOW, sw_batch_size=1, overlap=0.5, mode="gaussian")

    def network(windows: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=number == "bfloat16"):
            logits = model(windows.contiguous(memory_format=memory_format))
        return torch.sigmoid(logits.float())

    image = torch.rand((1, 1, *VOLUME))
    with torch.inference_mode():
        infer(image[..., : WINDOW[0], : WINDOW[1], : WINDOW[2]], network)
        after_one = peak_mb()
        print("=> ready", flush=True)
        for line in sys.stdin:
            if line.strip() == "memory":
                value = peak_mb()
            elif line.strip() == "growth":
                value = peak_mb() - after_one
            else:
                began = time.perf_counter()
                (infer(image, network) > 0.5).to(torch.uint8).numpy()
                value = time.perf_counter() - began
            print(f"=> {value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
