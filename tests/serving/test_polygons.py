"""Polygons give the mask back: exactly without a tolerance, and within what they say with one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from served import Running
from test_answers import IMAGE, png

from seglab.export.folder import read_folder
from seglab.serving.polygons import drawn, polygons_of

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.booleans())


@given(MASKS)
def test_without_a_tolerance_every_pixel_comes_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(drawn(polygons_of(mask, 0), mask.shape), mask)


def test_a_square_and_its_hole_by_hand() -> None:
    mask = np.zeros((6, 7), bool)
    mask[1:5, 2:6] = True
    mask[2:4, 3:5] = False
    ((outer, hole),) = polygons_of(mask, 0)
    assert {tuple(corner) for corner in outer.tolist()} == {(2, 1), (6, 1), (6, 5), (2, 5)}
    assert {tuple(corner) for corner in hole.tolist()} == {(3, 2), (5, 2), (5, 4), (3, 4)}


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0, 5.0])
def test_corners_stay_within_the_tolerance(tolerance: float) -> None:
    rows, columns = np.mgrid[:200, :240]
    disc = (rows - 100) ** 2 + (columns - 120) ** 2 < 80**2
    ((ring,),) = polygons_of(disc, tolerance)
    ((edge,),) = polygons_of(disc, 0)
    starts, ends = ring, np.roll(ring, -1, axis=0)
    along = (ends - starts).astype(float)
    for corner in edge:
        share = np.clip(((corner - starts) * along).sum(1) / (along**2).sum(1), 0, 1)[:, None]
        assert np.linalg.norm(starts + share * along - corner, axis=1).min() <= tolerance + 1e-6
    assert len(ring) < len(edge) / (1 if tolerance < 1 else 4)
    back = drawn([[ring]], disc.shape)
    assert (back & disc).sum() / (back | disc).sum() > 1 - tolerance / 20


def test_json_and_geojson(road_service: Running, road: Any) -> None:
    ids = read_folder(road).predictor().predict(IMAGE)
    headers = {"Content-Type": "image/png"}
    for tolerance in (0, 1):
        query = f"/predict?polygons=true&tolerance_px={tolerance}"
        fields = road_service.client.post(
            query, content=png(), headers={**headers, "Accept": "application/json"}
        ).json()
        geo = road_service.client.post(query, content=png(), headers={**headers, "Accept": "application/geo+json"})
        assert geo.headers["content-type"] == "application/geo+json"
        shapes = {feature["properties"]["id"]: feature for feature in geo.json()["features"]}
        assert fields["tolerance_px"] == geo.json()["tolerance_px"] == tolerance
        for row in fields["classes"]:
            polygons = [[np.array(ring) for ring in polygon] for polygon in row["polygons"]]
            back, inside = drawn(polygons, ids.shape), ids == row["id"]
            assert row["polygons_iou"] == pytest.approx((back & inside).sum() / (back | inside).sum())
            assert tolerance or row["polygons_iou"] == 1
            closed = shapes[row["id"]]["geometry"]["coordinates"]
            assert all(ring[0] == ring[-1] for polygon in closed for ring in polygon)
            assert [[ring[:-1] for ring in polygon] for polygon in closed] == row["polygons"]
            assert shapes[row["id"]]["properties"]["polygons_iou"] == row["polygons_iou"]
    wrong = road_service.client.post("/predict?tolerance_px=-1", content=png(), headers=headers)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "parameter-invalid")
