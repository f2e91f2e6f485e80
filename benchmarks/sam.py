"""Speed of SAM and MobileSAM beside their reference implementations, call by call in one process.

    export PYTHONPATH=src:tests/helpers SEGLAB_MOBILE_SAM=<folder>
    .venv-oracles/bin/python -m benchmarks.sam 2 mobile_sam sam_vit_b

after `make test-oracles`; the first word is how many threads both take. The weights are random. The calls alternate, so
that both meet the same load; the quickest and the middle one are printed, by the clock and of the processor, and
the memory that the process has at the end of each part. On a busy machine, one thread: PyTorch's wait for one another.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from sam_reference import ALL, reference
from sam_weights import picture

from seglab.interactive.prompt import Prompt
from seglab.interactive.sam.frame import Frame
from seglab.interactive.sam.sam_network import SamNetwork
from seglab.interactive.sam.tokens import tokens
from seglab.interactive.sam.weights import check_fit, fill, open_tensors, slots

ENCODINGS, CLICKS = 3, 30
Seconds = tuple[float, float]


def alternately(times: int, **calls: Callable[[], Any]) -> dict[str, list[Seconds]]:
    """Seconds of each call, one after the other, after one that does not count."""
    seconds: dict[str, list[Seconds]] = {name: [] for name in calls}
    for turn in range(times + 1):
        for name, call in calls.items():
            clock, processor = time.perf_counter(), time.process_time()
            call()
            if turn:
                seconds[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return seconds


def report(what: str, seconds: dict[str, list[Seconds]]) -> None:
    for index, kind in enumerate(("clock", "processor")):
        by_name = {name: [each[index] for each in found] for name, found in seconds.items()}
        words = [f"{name} {min(each):.3f} s (middle {statistics.median(each):.3f})" for name, each in by_name.items()]
        ours, theirs = (min(each) for each in by_name.values())
        print(f"  {what}, {kind}: {', '.join(words)}; ratio {ours / theirs:.2f}", flush=True)


def memory(what: str) -> None:
    print(f"  memory {what}: {psutil.Process().memory_info().rss / 2**30:.2f} GiB", flush=True)


def measure(name: str) -> None:
    print(name, flush=True)
    theirs = reference(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        torch.save(theirs.state_dict(), path)
        started = time.perf_counter()
        tensors = open_tensors(path)
        for key in tensors.shapes:
            tensors.read(key)
        print(f"  reader: {time.perf_counter() - started:.2f} s for {path.stat().st_size / 1e6:.0f} MB")
        started = time.perf_counter()
        network = SamNetwork(ALL[name])
        built = time.perf_counter()
        wanted = slots(network.variables)
        check_fit(wanted, tensors, path, name)
        fill(wanted, tensors, path)
        print(f"  network: made in {built - started:.2f} s, filled in {time.perf_counter() - built:.2f} s")
    memory("with both networks")
    image = picture(768, 1024)
    frame = Frame((768, 1024), ALL[name].side)
    square = frame.square(image)
    prompt = tokens(Prompt.of(frame.shape, [[300, 300]], [1]), frame)
    planes = torch.as_tensor(square.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        embedding = theirs.image_encoder(planes)
        points = torch.as_tensor([[[300.0, 300.0]]]), torch.as_tensor([[1]])

        def click() -> Any:
            sparse, dense = theirs.prompt_encoder(points=points, boxes=None, masks=None)
            return theirs.mask_decoder(embedding, theirs.prompt_encoder.get_dense_pe(), sparse, dense, True)

        ours = np.ascontiguousarray(embedding.numpy().transpose(0, 2, 3, 1))
        report(
            "decoder, a click", alternately(CLICKS, ours=lambda: network.decode(ours, *prompt, None), reference=click)
        )
        encoders = {"ours": lambda: network.encode(square), "reference": lambda: theirs.image_encoder(planes)}
        report("embedding, an image", alternately(ENCODINGS, **encoders))
    memory("after both")


if __name__ == "__main__":
    import tensorflow as tf

    threads, *names = sys.argv[1:]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    torch.set_num_threads(int(threads))
    for each in names:
        measure(each)
