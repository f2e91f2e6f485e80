"""Speed of the data's way as ratios, measured side by side in one run: python scripts/bench_data.py --only cache."""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.bench.data import PARTS, SCENES, VOLUMES, measure
from seglab.bench.workers import keep

TORCH = Path(".venv-bench/bin/python")
RESULTS = Path("mlruns/bench")


def main() -> None:
    """Measure the parts that are asked for, print a table, and keep it."""
    parser = argparse.ArgumentParser(
        description="Measure cache, batches and augmentation against their peers; prints ratios with their targets."
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure (all)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs for each ratio (5); the median is reported")
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"PNGs of 1024×2048 that are written ({SCENES})")
    parser.add_argument("--volumes", type=int, default=VOLUMES, help=f"volumes that are written ({VOLUMES})")
    parser.add_argument("--torch-python", default=str(TORCH), help=f"a Python with PyTorch and MONAI ({TORCH})")
    args = parser.parse_args()
    torch = args.torch_python if Path(args.torch_python).exists() else None
    if torch is None:
        print(f"no PyTorch at {args.torch_python}: road, mri and windows are left out (see requirements-bench.txt)")
    found = measure(args.only, args.rounds, torch, args.scenes, args.volumes)
    keep(found, RESULTS, "bench_data")


if __name__ == "__main__":
    main()
