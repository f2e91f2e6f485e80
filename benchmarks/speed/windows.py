"""Sliding windows over a volume, against MONAI's `SlidingWindowInferer` around the best PyTorch variant of the net."""

from __future__ import annotations

import statistics
import sys

from benchmarks.speed.measure import TORCH_VARIANTS, auto_policy
from benchmarks.speed.workers import BenchWorker, Ratio, interleaved, ratio

FASTER = 1.3
MEMORY = ("memory", "growth")


def windows(rounds: int, torch_python: str | None) -> list[Ratio]:
    """192×192×160 voxels in windows of 64³ with half overlap: 100 windows, to a mask; time, and memory: the process's
    peak, and how far that is above its peak after a single window. The PyTorch variants are tried once, and the fastest
    is compared.

    Nothing without a Python that has torch and monai.
    """
    if torch_python is None:
        return []
    policy = auto_policy()
    peers = {
        f"MONAI {number} {layout}": BenchWorker(torch_python, "windows_torch.py", number, layout)
        for number, layout in TORCH_VARIANTS
    }
    seglab = None
    try:
        tried = {name: peer.ask() for name, peer in peers.items()}
        for name, once in tried.items():
            print(f"  {name:<32} {once:7.2f} s")
        best = min(tried, key=lambda name: tried[name])
        for name, peer in peers.items():
            if name != best:
                peer.close()
        seglab = BenchWorker(sys.executable, "windows_keras.py", policy)
        seconds = interleaved({"seglab": seglab, best: peers[best]}, rounds, warm_up=1)
        peak, growth = ({n: w.ask(what) for n, w in (("seglab", seglab), (best, peers[best]))} for what in MEMORY)
        print(f"  {seglab.ask('blending'):.1%} of seglab's time is not the network")
    finally:
        for worker in (*peers.values(), *([seglab] if seglab else [])):
            worker.close()
    ours, theirs = statistics.median(seconds["seglab"]), statistics.median(seconds[best])
    return [
        ratio(
            f"sliding windows, seglab {policy} : {best}",
            seconds[best],
            seconds["seglab"],
            FASTER,
            f"{ours:.2f} : {theirs:.2f} s",
        ),
        *(
            ratio(
                f"memory of sliding windows, {what}, seglab : MONAI",
                [held["seglab"]],
                [held[best]],
                1.0,
                f"{held['seglab']:.0f} : {held[best]:.0f} MB",
                at_most=True,
            )
            for what, held in (("above that of one window", growth), ("the whole process", peak))
        ),
    ]
