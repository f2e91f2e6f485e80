"""What the service says of itself and how it answers."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running

from seglab.export.folder import read_folder

RNG = np.random.default_rng(1)
IMAGE = RNG.integers(0, 256, (50, 70, 3), np.uint8)


def png(image: np.ndarray = IMAGE) -> bytes:
    room = io.BytesIO()
    Image.fromarray(image).save(room, "PNG")
    return room.getvalue()


@pytest.fixture(scope="module")
def ids(road: Path) -> np.ndarray:
    return read_folder(road).predictor().predict(IMAGE)


def decoded(counts: str, size: list[int]) -> np.ndarray:
    """COCO's compressed run lengths, as its own `rleFrString` reads them."""
    runs: list[int] = []
    at = 0
    while at < len(counts):
        value = shift = 0
        more = True
        while more:
            digit = ord(counts[at]) - 48
            value |= (digit & 0x1F) << shift
            more, at, shift = bool(digit & 0x20), at + 1, shift + 5
            if not more and digit & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    flat = np.repeat(np.arange(len(runs)) % 2, runs)
    return flat.reshape(size, order="F").astype(bool)


def test_a_png_has_values_and_colours_of_the_classes(road_service: Running, ids: np.ndarray) -> None:
    answer = road_service.predict(png())
    found = Image.open(io.BytesIO(answer.content))
    assert (found.mode, found.info["Software"]) == ("P", "seglab mask")
    np.testing.assert_array_equal(np.asarray(found), np.array([7, 8, 11], np.uint8)[ids])
    assert (found.getpalette() or [])[8 * 3 : 8 * 3 + 3] == [200, 10, 20]
    plain = road_service.client.post("/predict?palette=false", content=png(), headers={"Content-Type": "image/png"})
    assert Image.open(io.BytesIO(plain.content)).mode == "L"
    assert set(np.unique(ids)) == {0, 1, 2}


def test_json_tells_shares_boxes_and_runs(road_service: Running, ids: np.ndarray) -> None:
    headers = {"Content-Type": "image/png", "Accept": "application/json"}
    fields = road_service.client.post("/predict?rle=true", content=png(), headers=headers).json()
    assert fields["shape"] == [50, 70]
    for row in fields["classes"]:
        inside = ids == row["id"]
        assert (row["pixels"], row["share"]) == (inside.sum(), pytest.approx(inside.mean()))
        rows, columns = np.nonzero(inside)
        assert row["box"] == [[rows.min(), rows.max() + 1], [columns.min(), columns.max() + 1]]
        np.testing.assert_array_equal(decoded(row["rle"]["counts"], row["rle"]["size"]), inside)
    assert set(fields["timings_ms"]) >= {"decode", "predict"}
    assert sum(row["share"] for row in fields["classes"]) == pytest.approx(1)


def test_a_form_is_answered_as_a_body_is(road_service: Running) -> None:
    form = road_service.client.post("/predict", files={"image": ("a.png", png(), "image/png")})
    assert form.status_code == 200, form.text
    assert form.content == road_service.predict(png()).content


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/webp, application/json;q=0.5, image/png;q=0.1", "application/json"),
        ("application/octet-stream", "application/octet-stream"),
        ("text/html, */*;q=0.1", "image/png"),
        ("image/png;q=0", None),
        ("text/html", None),
        (";;;q=x,,", None),
        ("image/png;q=0.5, application/json;q=inf, application/geo+json;q=nan", "image/png"),
    ],
)
def test_accept_chooses(accept: str, kind: str | None, road_service: Running) -> None:
    answer = road_service.predict(png(), accept)
    assert answer.status_code == (406 if kind is None else 200)
    if kind:
        assert answer.headers["content-type"] == kind
    else:
        assert answer.json()["code"] == "not-acceptable"


def test_headers_of_an_answer(road_service: Running) -> None:
    answer = road_service.client.post(
        "/predict", content=png(), headers={"Content-Type": "image/png", "X-Request-ID": "abc-1"}
    )
    assert answer.headers["x-request-id"] == "abc-1"
    assert re.fullmatch(r"road\+[0-9a-f]{12}", answer.headers["x-bundle"])
    stages = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
    assert [stage for stage, _ in stages] == ["queue", "decode", "predict", "encode"]  # measured is afterwards
    forged = road_service.client.get("/health", headers={"X-Request-ID": 'a" b {'})
    assert re.fullmatch("[0-9a-f]{32}", forged.headers["x-request-id"])


def test_what_it_says_of_itself(road_service: Running) -> None:
    client = road_service.client
    for path in ("/health", "/v2/health/live", "/v2/health/ready", "/v2/models/road/ready", "/v2", "/docs"):
        assert client.get(path).status_code == 200, path
    fields = client.get("/v2/models/road").json()
    assert (fields["precision"], fields["platform"]) == ("float32", "seglab_openvino")
    assert fields["inputs"][0]["shape"] == [-1, -1, 3]
    assert fields["limits"]["pixels"] == 400000
    assert [row["value"] for row in client.get("/classes").json()["classes"]] == [7, 8, 11]
    page = client.get("/").text
    for name in ROAD.class_names:
        assert f"<td>{name}</td>" in page
    assert 'type="file"' in page
    unknown = client.get("/v2/models/other")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model-unknown")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("POST", "/nothing", 404)])
def test_every_error_is_a_problem(method: str, path: str, status: int, road_service: Running) -> None:
    answer = road_service.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    fields = answer.json()
    assert {"type", "title", "status", "instance", "code"} <= set(fields)
    assert fields["instance"].endswith(answer.headers["x-request-id"])
    wrong = road_service.client.post("/predict?palette=maybe", content=png(), headers={"Content-Type": "image/png"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "parameter-invalid")


def test_json_tells_how_sure_it_is(road_service: Running, road: Path) -> None:
    chances = read_folder(road).predictor().predict_probabilities(IMAGE)
    headers = {"Content-Type": "image/png", "Accept": "application/json"}
    fields = road_service.client.post("/predict", content=png(), headers=headers).json()
    best, ids = chances.max(axis=-1), chances.argmax(axis=-1)
    assert fields["mean_confidence"] == pytest.approx(best.mean(), abs=1e-5)
    for row in fields["classes"]:
        assert row["mean_confidence"] == pytest.approx(best[ids == row["id"]].mean(), abs=1e-5)
    before = road_service.count("seglab_confidence_sum"), road_service.count("seglab_confidence_count")
    road_service.predict(png())
    after = road_service.count("seglab_confidence_sum"), road_service.count("seglab_confidence_count")
    assert after[0] - before[0] == pytest.approx(best.mean(), abs=1e-5)
    assert after[1] - before[1] == 1


def test_the_pages_fetch_nothing(road_service: Running) -> None:
    for path in ("/", "/docs"):
        answer = road_service.client.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert not re.findall(r"""(?:src|href|url|import|fetch)\s*[=(]\s*["']?(?:https?:)?//""", answer.text)
    docs = road_service.client.get("/docs").text
    assert "color-scheme:light dark" in docs
    for path, methods in road_service.client.get("/openapi.json").json()["paths"].items():
        assert f"<code>{path}</code>" in docs
        assert all(f'id="{operation["operationId"]}"' in docs for operation in methods.values())


def test_metrics_count(road_service: Running) -> None:
    before = road_service.count("seglab_requests_total"), road_service.count("seglab_pixels_total")
    road_service.predict(png())
    after = road_service.count("seglab_requests_total"), road_service.count("seglab_pixels_total")
    assert after[1] - before[1] == 50 * 70
    assert after[0] - before[0] >= 2
    assert road_service.count("seglab_ready") == 1


def test_a_client_of_triton(road_service: Running, ids: np.ndarray) -> None:
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{road_service.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("road")
    fields = client.get_model_metadata("road")
    for binary in (True, False):
        given = triton.InferInput(fields["inputs"][0]["name"], list(IMAGE.shape), "UINT8")
        given.set_data_from_numpy(IMAGE, binary_data=binary)
        wanted = triton.InferRequestedOutput("mask", binary_data=binary)
        found = client.infer("road", [given], outputs=[wanted]).as_numpy("mask")
        np.testing.assert_array_equal(found, np.array([7, 8, 11], np.uint8)[ids])
    with pytest.raises(triton.InferenceServerException):
        client.get_model_metadata("other")
    client.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"inputs": []}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, -1, 3], "data": []}]}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [2, 2, 3], "data": [1]}]}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 1, 3], "data": [1, 2, 256]}]}',
        b'{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 1, 3], "data": ["a", "b", "c"]}]}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": ["9", {}, 3], "data": 1}]}',
        b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 3], "data": [NaN, 1, 2]}]}',
        b'{"inputs": [{"name": "image", "datatype": "UINT8", "shape": [99999, 99999, 3], "parameters": '
        b'{"binary_data_size": 5}}]}',
        b"[" * 100_000,
    ],
)
def test_a_broken_tensor_is_refused(body: bytes, road_service: Running) -> None:
    answer = road_service.client.post("/v2/models/road/infer", content=body)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    lying = road_service.client.post(
        "/v2/models/road/infer", content=body, headers={"Inference-Header-Content-Length": "999999"}
    )
    assert lying.status_code == 400


def test_the_log_has_a_line_for_each_request(road_service: Running) -> None:
    road_service.client.post(
        "/predict",
        content=png(),
        headers={"Content-Type": "image/png", "X-Request-ID": "log-me", "X-API-Key": "k" * 20},
    )
    end = time.monotonic() + 20  # a thread reads what the service writes
    while not (found := [line for line in road_service.lines() if line.get("request") == "log-me"]):
        assert time.monotonic() < end
        time.sleep(0.01)
    (line,) = found
    assert (line["path"], line["status"]) == ("/predict", 200)
    assert "k" * 20 not in "".join(road_service.log)


@pytest.mark.parametrize("shape", ["[true, 4, 3]", "[4, 1.0, 3]", '["4", 1, 3]', "[0, 4, 3]", "[4, 3]", "[[4], 1, 3]"])
def test_a_shape_is_of_whole_numbers(shape: str, road_service: Running) -> None:
    given = f'{{"name": "image", "datatype": "UINT8", "shape": {shape}, "data": [{", ".join(["0"] * 12)}]}}'
    answer = road_service.client.post("/v2/models/road/infer", content=f'{{"inputs": [{given}]}}')
    assert (answer.status_code, answer.json()["code"]) in [(400, "infer-request"), (422, "image-rank")]
