"""Speed as ratios, measured side by side in one run: python scripts/bench.py --only step2d step3d."""

from __future__ import annotations

import argparse
from pathlib import Path

from seglab.bench.measure import PARTS
from seglab.bench.workers import keep

TORCH = Path(".venv-bench/bin/python")
RESULTS = Path("mlruns/bench")


def main() -> None:
    """Measure the parts that are asked for, print a table, and keep it."""
    parser = argparse.ArgumentParser(
        description="Measure seglab against its peers and print ratios with their targets."
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure (all)")
    parser.add_argument("--rounds", type=int, default=9, help="pairs for each ratio (9); the median is reported")
    parser.add_argument("--torch-python", default=str(TORCH), help=f"a Python that has PyTorch ({TORCH})")
    args = parser.parse_args()
    torch = args.torch_python if Path(args.torch_python).exists() else None
    if torch is None:
        print(f"no PyTorch at {args.torch_python}: measuring without it. To have it:")
        print(
            f"  python3.11 -m venv {TORCH.parents[1]} && {TORCH.parents[1]}/bin/pip install -r requirements-bench.txt"
        )
    found = []
    for number, part in enumerate(args.only, start=1):
        print(f"[{number}/{len(args.only)}] {part}", flush=True)
        found += PARTS[part](args.rounds, torch)
    keep(found, RESULTS, "bench")


if __name__ == "__main__":
    main()
