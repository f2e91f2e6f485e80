"""A generated data set in a real layout: python scripts/synthetic_dataset.py --kind cityscapes --out demo"""

from __future__ import annotations

import argparse

from rich.progress import Progress

from seglab.data.synthetic.layouts import FEWEST_CASES, LAYOUTS, write_dataset
from seglab.errors import run_script


def main() -> None:
    kinds = "; ".join(f"{kind}: {', '.join(layout.hard)}" for kind, layout in LAYOUTS.items())
    parser = argparse.ArgumentParser(
        description="Write generated images and masks in the layout of a real data set, with its hard cases.",
        epilog=f"What is hard in them. {kinds}.",
    )
    parser.add_argument("--kind", required=True, choices=list(LAYOUTS), help="the layout")
    parser.add_argument("--out", required=True, help="a new or empty folder for it")
    parser.add_argument("--count", type=int, help=f"labelled cases, at least {FEWEST_CASES} (16 volumes, 24 images)")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another data set (0)")
    args = parser.parse_args()
    with Progress(transient=True) as bar:
        work = bar.add_task(f"writing {args.kind}", total=None)
        layout = write_dataset(
            args.kind,
            args.out,
            count=args.count,
            seed=args.seed,
            progress=lambda done, total: bar.update(work, completed=done, total=total),
        )
    print(f"written    {args.count or layout.count} labelled files below {args.out}")
    print(f"hard cases {', '.join(layout.hard)}")
    print(f"train      {layout.train.format(out=args.out)}")


if __name__ == "__main__":
    run_script(main)
