"""Label, train, choose, label: `python -m benchmarks.label_next` writes its section of docs/monitor.md.

Each seed begins with the same few images for all ways, and each round doubles them; `all` is trained on the whole
pool. What is done is kept in a file, so that a study that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from benchmarks.label_next.findings import ALL, SIZES, Round, write_page
from benchmarks.label_next.learner import Pool, first_labelled
from seglab.monitoring.label_queue import STRATEGIES, Strategy, choose
from seglab.runtime.reproducibility import load_tensorflow


class Study:
    """The trainings, each done once."""

    def __init__(self, place: Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        self._place = place
        lines = place.read_text().splitlines() if place.exists() else []
        self.rounds = [Round(**json.loads(line)) for line in lines]
        load_tensorflow()
        self.pool = Pool()

    def begun(self, seed: int) -> Round:
        """The first network of a seed, which chooses for all ways."""
        chosen = first_labelled(self.pool.ids, SIZES[0], seed)
        return self._round(seed, STRATEGIES[0], chosen, STRATEGIES)

    def next(self, seed: int, way: Strategy, size: int) -> Round:
        """The network of a way, of twice as many images as the one before it."""
        former = self.begun(seed) if size == SIZES[1] else self.next(seed, way, size // 2)
        return self._round(seed, way, [*former.ids, *former.next[way]], (way,))

    def whole(self, seed: int) -> Round:
        """Trained on the whole pool."""
        return self._round(seed, ALL, list(self.pool.ids), ())

    def _round(self, seed: int, strategy: str, ids: list[str], ways: tuple[Strategy, ...]) -> Round:
        for one in self.rounds:
            if (one.seed, one.strategy, len(one.ids)) == (seed, strategy, len(ids)):
                return one
        began, clock = os.times(), time.perf_counter()
        learnt = self.pool.learn(ids, seed)
        chosen = {way: [one.name for one in choose(learnt.candidates, len(ids), way, seed)] for way in ways}
        ended = os.times()
        took = round(ended.user + ended.system - began.user - began.system, 1)
        finished = Round(seed, strategy, ids, learnt.dice, chosen, took)
        with self._place.open("a") as file:
            file.write(json.dumps(vars(finished)) + "\n")
        self.rounds.append(finished)
        print(f"seed {seed}, {strategy}, {len(ids)} labelled: Dice {finished.mean:.3f}, {took} CPU s, "
              f"{time.perf_counter() - clock:.0f} s", flush=True)  # fmt: skip
        return finished


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_next", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of networks and of what is labelled first")
    parser.add_argument("--done", type=Path, default=Path("build/label_next.jsonl"), help="a line for each training")
    asked = parser.parse_args()
    study, seeds = Study(asked.done), range(asked.seeds)
    for seed in seeds:
        study.begun(seed)
    for size in SIZES[1:]:
        for seed in seeds:
            for way in STRATEGIES:
                study.next(seed, way, size)
    for seed in seeds:
        study.whole(seed)
    write_page([one for one in study.rounds if one.seed in seeds])


if __name__ == "__main__":
    main()
