"""An exported model as it is served: each stage with each runtime, and the service itself against the bare runtime."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.live_service import Client, LiveService
from benchmarks.speed.workers import BenchWorker, Ratio, ratio
from seglab.export.folder import Exported, read_folder, targets_below
from seglab.export.latency import cpu_name, encoded_png
from seglab.inference.bundle import Bundle
from seglab.inference.example import example_image
from seglab.inference.loaded_network import own_threads

Tell = Callable[[str], None]
KERAS, SERVED = "keras-float32", "openvino-float32"
STAGES = ("decode", "pre", "between", "post", "encode")
# The network against Keras's in float32: at most so much of its time.
NETWORK = {"openvino-float32": 0.95, "openvino-int8": 0.35}
# The service: its time against the bare one, its encoding's share, its memory, its start, its throughput.
API, ENCODE, RSS_MB, READY_SECONDS, CLIENTS, THROUGHPUT = 1.3, 0.15, 350.0, 4.0, 8, 0.95
TAIL, _TAIL_RUNS = 1.5, 30  # p99 against p50, of so many runs a round
_WARM_UP, _LONG = 2, 1.0
_CPU = "CPU time"  # of all threads: the same row on a machine that is busy with something else


@dataclass
class ServingBench:
    """What came out.

    Attributes:
        ratios: with their targets.
        baseline: the runtime that the others' networks are held against.
        stages: of each runtime the precision that it computes in, the milliseconds of every stage, p50 and p95, its
            network's ratio to the baseline's, the seconds of loading and the megabytes held.
        service: numbers of the service; empty where it was not measured.
        not_measured: in sentences, what could not be measured.
        load: load average of the machine before and after.
    """

    ratios: list[Ratio] = field(default_factory=list)
    baseline: str = ""
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    service: dict[str, Any] = field(default_factory=dict)
    not_measured: list[str] = field(default_factory=list)
    load: list[float] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "baseline": self.baseline,
            "stages": self.stages,
            "service": self.service,
            "not_measured": self.not_measured,
            "load_average": self.load,
            "cpu": cpu_name(),
            "threads": own_threads(),
        }

    def table(self) -> list[str]:
        """Lines of Markdown."""
        lines = [f"load average {self.load[0]:.1f} before, {self.load[-1]:.1f} after; {own_threads()} threads", ""]
        names = ("p50 ms", "computes in", "network", f"× {self.baseline}", _CPU, *STAGES, "load s", "MB")
        lines += [f"| {' | '.join(names)} |"]
        lines += ["| --- | --- |" + " ---: |" * 10]
        for name, row in self.stages.items():
            times = [f"{row[stage]['p50']:.2f}" if stage in row else "" for stage in ("network", "cpu", *STAGES)]
            times.insert(1, f"{row['network_ratio']:.2f}")
            cells = [name, row["precision"], *times, f"{row['load_seconds']:.2f}", f"{row['rss_mb']:.0f}"]
            lines.append(f"| {' | '.join(cells)} |")
        return [*lines, "", *self.not_measured] if self.not_measured else lines


def measure(
    folder: Path, rounds: int, keras: Path | None, sizes: Sequence[tuple[int, int]], tell: Tell = lambda _: None
) -> ServingBench:
    """Ask every runtime in turn, then the service and the bare runtime in turn.

    Args:
        folder: that `seglab export` made.
        rounds: of each.
        keras: the bundle that it was made of, which is the baseline; without it the folder's first target is.
        sizes: height and width of the images that the service is asked for.
        tell: told what is being done.
    """
    found = ServingBench(load=[os.getloadavg()[0]])
    targets = {place.name: read_folder(place) for place in targets_below(folder)}
    runnable = {name: one for name, one in targets.items() if one.runtime != "savedmodel"}
    for name in targets.keys() - runnable.keys():
        found.not_measured.append(f"{name} needs TensorFlow to run and was left out.")
    _network(found, runnable, rounds, keras, tell)
    _service(found, folder, runnable, rounds, sizes, tell)
    found.load.append(os.getloadavg()[0])
    return found


def _network(found: ServingBench, targets: Mapping[str, Exported], rounds: int, keras: Path | None, tell: Tell) -> None:
    with ExitStack() as stack:
        workers: dict[str, BenchWorker] = {}
        precisions: dict[str, str] = {}
        for name, exported in targets.items():
            if keras is not None and not workers and not exported.end_to_end:
                trained = str(exported.manifest.get("trained_in", "float32"))
                for precision in dict.fromkeys(("float32", trained)):
                    one = f"keras-{precision}"
                    workers[one], precisions[one] = _worker(stack, str(keras), exported.folder, precision), precision
            workers[name], precisions[name] = (
                _worker(stack, "target", exported.folder),
                str(exported.manifest["target"]["executed"]),
            )
        times: dict[str, dict[str, list[float]]] = {name: {} for name in workers}
        stages = STAGES if next(iter(targets.values())).bundle.task.rank == 2 else STAGES[1:-1]
        for turn in range(_WARM_UP + rounds):
            for name, worker in workers.items():
                taken = {"network": worker.ask("network"), "cpu": worker.ask("cpu"), "all": worker.ask("image")}
                taken |= {stage: worker.ask(stage) for stage in stages}
                if turn >= _WARM_UP:
                    for stage, seconds in taken.items():
                        times[name].setdefault(stage, []).append(seconds)
            tell(f"round {turn + 1} of {_WARM_UP + rounds}")
        found.baseline = next(one for one in (KERAS, SERVED, *workers) if one in workers)
        for name, worker in workers.items():
            row: dict[str, Any] = {stage: _spread(seconds) for stage, seconds in times[name].items()}
            pairs = {word: (times[name][word], times[found.baseline][word]) for word in ("network", "cpu")}
            row["network_ratio"] = statistics.median(a / b for a, b in zip(*pairs["network"], strict=True))
            row["load_seconds"], row["rss_mb"] = worker.ask("load"), worker.ask("rss")
            row["precision"] = precisions[name]
            found.stages[name] = row
            if found.baseline == KERAS and name in NETWORK:
                what = f"network, {name} : Keras predict_on_batch in float32"
                for of, (mine, theirs) in zip((what, f"{what}, {_CPU}"), pairs.values(), strict=True):
                    detail = f"{1000 * statistics.median(mine):.2f} : {1000 * statistics.median(theirs):.2f} ms"
                    found.ratios.append(ratio(of, mine, theirs, NETWORK[name], detail, at_most=True))
    if keras is None:
        found.not_measured.append(f"Without the model itself (keras=…) {found.baseline} is the baseline.")


def _service(
    found: ServingBench,
    folder: Path,
    targets: Mapping[str, Exported],
    rounds: int,
    sizes: Sequence[tuple[int, int]],
    tell: Tell,
) -> None:
    served = next((one for name, one in targets.items() if name == SERVED), None)
    why = f"no {SERVED} in the folder" if served is None else _why_not(served.bundle)
    if served is None or why:
        found.not_measured.append(f"The service was not measured: {why}.")
        return
    with ExitStack() as stack:
        bare = _worker(stack, "target", served.folder)
        service = stack.enter_context(LiveService(served.folder))
        client = stack.enter_context(service.client())
        start = f"{service.ready_seconds:.2f} s"
        found.ratios.append(
            ratio("start until ready : 4 s", [service.ready_seconds], [READY_SECONDS], 1.0, start, at_most=True)
        )
        for size in sizes:
            image = encoded_png(example_image(served.bundle, size))
            _one_size(found, size, image, bare, service, client, rounds, tell)
        small = encoded_png(example_image(served.bundle, min(sizes, key=lambda one: one[0] * one[1])))
        _tails(found, bare, client, small, max(100, _TAIL_RUNS * rounds), tell)
        pairs = []
        for turn in range(max(3, rounds // 3)):
            pairs.append([service.throughput(small, count, 3.0) for count in (1, CLIENTS)])
            tell(f"clients, round {turn + 1}")
        one, many = ([pair[place] for pair in pairs] for place in (0, 1))
        detail = f"{statistics.median(many):.1f} : {statistics.median(one):.1f} answers/s"
        found.ratios.append(ratio(f"throughput, {CLIENTS} clients : 1", many, one, THROUGHPUT, detail))
        held = service.rss()
        found.ratios.append(
            ratio("memory of the service : 350 MB", [held], [RSS_MB], 1.0, f"{held:.0f} MB", at_most=True)
        )
        found.service |= {
            "ready_seconds": service.ready_seconds,
            "rss_mb": held,
            "answers_per_second": {"1": one, str(CLIENTS): many},
        }


def _one_size(
    found: ServingBench,
    size: tuple[int, int],
    image: bytes,
    bare: BenchWorker,
    service: LiveService,
    client: Client,
    rounds: int,
    tell: Tell,
) -> None:
    name = "×".join(map(str, size))
    least: list[float] = []
    whole: list[float] = []
    shares: list[float] = []
    stages: dict[str, list[float]] = {}
    turns, turn = _WARM_UP + rounds, 0
    computed, computed_bare = 0.0, 0.0
    while turn < turns:
        began = time.perf_counter()
        one = bare.ask("bare " + " ".join(map(str, size)))
        before = service.cpu()
        taken, stage_seconds = client.predict(image)
        after = service.cpu()
        if turn == 0 and time.perf_counter() - began > _LONG:
            turns = _WARM_UP + max(3, rounds // 3)  # fewer of what takes long
        if turn >= _WARM_UP:
            least.append(one)
            whole.append(taken)
            computed, computed_bare = computed + after - before, computed_bare + bare.ask("cpu")
            shares.append(stage_seconds.get("encode", 0.0) / taken)
            for stage, seconds in stage_seconds.items():
                stages.setdefault(stage, []).append(seconds)
        turn += 1
        tell(f"{name}, round {turn} of {turns}")
    detail = f"{1000 * statistics.median(whole):.1f} : {1000 * statistics.median(least):.1f} ms"
    what = f"{name}, API : decode + bare runtime + encode"
    found.ratios.append(ratio(what, whole, least, API, detail, at_most=True))
    detail = f"{1000 * computed / len(whole):.1f} : {1000 * computed_bare / len(whole):.1f} ms"
    found.ratios.append(ratio(f"{what}, {_CPU}", [computed], [computed_bare], API, detail, at_most=True))
    found.ratios.append(
        ratio(f"{name}, share of encoding", shares, [1.0] * len(shares), ENCODE, "of the whole", at_most=True)
    )
    found.service[name] = {
        "api": _spread(whole),
        "bare": _spread(least),
        "stages": {stage: _spread(seconds) for stage, seconds in stages.items()},
    }


def _tails(found: ServingBench, bare: BenchWorker, client: Client, image: bytes, runs: int, tell: Tell) -> None:
    """How far the slowest are from the rest: of the bare network, and of answers to one client."""
    tell(f"tails, {runs} runs of the network and as many answers")
    sides = {
        "network, openvino-float32": [bare.ask("network") for _ in range(runs)],
        "answers to one client, smallest size": [client.predict(image)[0] for _ in range(runs)],
    }
    for what, seconds in sides.items():
        p50, p99 = np.percentile(seconds, [50, 99]).tolist()
        detail = f"{1000 * p99:.2f} : {1000 * p50:.2f} ms, {runs} runs"
        found.ratios.append(ratio(f"{what}, p99 : p50", [p99], [p50], TAIL, detail, at_most=True))
        found.service.setdefault("tails", {})[what] = {**_spread(seconds), "p99": round(1000 * p99, 3), "runs": runs}


def _why_not(bundle: Bundle) -> str:
    if bundle.task.rank != 2:
        return "this benchmark sends images, and the model takes volumes"
    kind = example_image(bundle, (4, 4)).dtype
    if kind != np.uint8 or bundle.task.channels not in (1, 3, 4):
        return f"its images are no 8-bit PNG: {bundle.task.channels} channels of {kind}"
    return ""


def _worker(stack: ExitStack, model: str, folder: Path, precision: str = "float32") -> BenchWorker:
    worker = BenchWorker(sys.executable, "serving_worker.py", model, str(folder), precision)
    stack.callback(worker.close)
    return worker


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    p50, p95 = np.percentile(seconds, [50, 95])
    return {"p50": round(1000 * float(p50), 3), "p95": round(1000 * float(p95), 3)}
