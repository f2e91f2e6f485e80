"""A model's way through the composition: trained through the server, promoted, served, asked, replaced by the next."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from deploy.check.containers import Containers
from deploy.check.telling import Failed, tell

TRACKING = "tracking.uri=http://mlflow:5000"
# The smallest training that leaves a model, and a gate that lets it pass.
TRAIN = ("seglab", "train", "debug=fast", "model=unet_mini", "data=synthetic2d", TRACKING)
GATE = "rules:\n  - {metric: test_dice, direction: higher, threshold: 0.0}\nallowed_findings: false\n"
_SWAP_SECONDS = 300.0


def picture() -> bytes:
    """An image that no training has seen, 150 × 130 in grey, as PNG."""
    rows = np.random.default_rng(7).integers(0, 256, (130, 150), np.uint8)
    rows[40:90, 50:110] //= 3
    room = io.BytesIO()
    Image.fromarray(rows).save(room, "PNG")
    return room.getvalue()


def ask(address: str, image: bytes, key: str) -> tuple[bytes, str]:
    """The mask of an image as PNG, and the model that made it with its version."""
    headers = {"Content-Type": "image/png", "X-API-Key": key}
    request = urllib.request.Request(f"{address}/predict?palette=false", image, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return answer.read(), answer.headers["X-Bundle"].partition("+")[0]  # exported twice, with a digest each


def refused_without_key(address: str, image: bytes) -> None:
    """That nobody comes in without a key."""
    try:
        ask(address, image, "")
    except urllib.error.HTTPError as error:
        if error.code == 401:
            return
        raise
    raise Failed("the service answers without a key")


def same_mask(served: bytes, file: Path) -> int:
    """How many pixels a served mask has that are not of the first class; raises `Failed` where the file differs."""
    answer, written = (np.asarray(Image.open(one)) for one in (io.BytesIO(served), file))
    if answer.shape != written.shape or (answer != written).any():
        raise Failed(f"the served mask is not that of seglab predict: {file}")
    return int((answer != answer.flat[0]).sum())


def trained_and_promoted(lab: Containers, seed: int) -> str:
    """Train a run through the server and make it the champion; its id."""
    began = time.monotonic()
    output = lab.run("lab", [*TRAIN, f"seed={seed}"])
    found = re.search(r"\b[0-9a-f]{32}\b", output)
    if not found:
        raise Failed("seglab train does not say which run it was", "", output[-2000:])
    tell(f"run {found[0]} was trained through the server in {time.monotonic() - began:.0f} s")
    gate = lab.volume("work") / "conf" / "gate" / "tried.yaml"
    gate.parent.mkdir(parents=True, exist_ok=True)
    gate.write_text(GATE)
    output = lab.run("lab", ["seglab", "promote", f"run={found[0]}", "name=roadseg", "gate=tried", TRACKING])
    tell(f"promoted: {output.strip().splitlines()[-1]}")
    return found[0]


def served_as_predicted(lab: Containers, key: str) -> str:
    """Ask the service and the application for a mask, hold both against what `seglab predict` makes of the champion's
    export; the model that answered."""
    image = picture()
    refused_without_key("http://127.0.0.1:8000", image)
    mask, model = ask("http://127.0.0.1:8000", image, key)
    pages, other = ask("http://127.0.0.1:8511/api", image, key)
    kept = lab.volume("service")
    (kept / "in").mkdir(exist_ok=True)
    (kept / "in" / "a.png").write_bytes(image)
    export = max(kept.glob("cache/**/manifest.json"), key=lambda file: file.stat().st_mtime).parent
    out = f"out-{time.monotonic_ns()}"
    lab.run("service", ["seglab", "predict", f"/kept/{export.relative_to(kept)}", "/kept/in", f"out=/kept/{out}"])
    for name, answer in (("service", mask), ("application", pages)):
        differing = same_mask(answer, kept / out / "a.png")
        tell(f"the {name}'s mask is that of seglab predict, pixel for pixel ({differing} pixels of another class)")
    if model != other:
        raise Failed(f"service and application answer with two models: {model}, {other}")
    tell(f"answered by {model}")
    return model


def taken_over(former: str, key: str) -> float:
    """Wait until the next champion answers, asking all the while; the seconds. Raises `Failed` where none does."""
    began, image = time.monotonic(), picture()
    while time.monotonic() < began + _SWAP_SECONDS:
        models = [ask(address, image, key)[1] for address in ("http://127.0.0.1:8000", "http://127.0.0.1:8511/api")]
        if former not in models:
            return time.monotonic() - began
        time.sleep(1)
    raise Failed(f"{former} still answers {_SWAP_SECONDS:.0f} s after another became the champion")


def scraped() -> list[str]:
    """What Prometheus has of the service: the jobs that are up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    query = "http://127.0.0.1:9090/api/v1/query?query=up%20%3D%3D%201"
    with opener.open(query, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return sorted(one["metric"]["job"] for one in found)


def copied_and_restored(lab: Containers) -> None:
    """Back the composition up, restore it into an empty database and folder, and hold the two against one another."""
    store = "tracking.uri=postgresql+psycopg://seglab@postgres/{}"
    began = time.monotonic()
    output = lab.run("lab", ["seglab", "backup", "/backup/tried", store.format("seglab"), "artifacts=/artifacts"])
    tell(f"backed up in {time.monotonic() - began:.1f} s: {output.strip()}")
    lab.run("lab", ["sh", "-c", "cd /backup/tried && sha256sum --check --quiet SHA256SUMS"])
    lab.run("lab", ["createdb", "--host=postgres", "--username=seglab", "restored"])
    began = time.monotonic()
    words = ["seglab", "restore", "/backup/tried", store.format("restored"), "artifacts=restored", "runs=other"]
    output = lab.run("lab", words)
    tell(f"restored in {time.monotonic() - began:.1f} s: {output.strip()}")
    lab.run("lab", ["diff", "--recursive", "/artifacts", "/srv/seglab/restored"])
    dump = "pg_dump --host=postgres --username=seglab --data-only"  # less the words of a session, which differ
    rows = f"for name in seglab restored; do {dump} $name | grep -v '^.restrict\\|^.unrestrict' | sha256sum; done"
    digests = lab.run("lab", ["sh", "-c", rows]).split()
    if digests[0] != digests[2]:
        raise Failed("the restored database has other rows than the one that was backed up")
    tell(f"the restored database has the same rows ({digests[0][:12]}…), the artifacts the same contents")
