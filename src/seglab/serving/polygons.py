"""Classes of a mask as polygons: exactly along the edges of pixels, then with fewer corners and a stated tolerance."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from seglab.serving.problems import Problem
from seglab.serving.served import ServedModel

_MOST_CORNERS = 50_000  # of one answer

Ring = np.ndarray
"""`(N, 2)` int: corners `x, y` in pixels, of which (0, 0) is the upper left corner of the first; it closes itself."""


def polygons_of(inside: np.ndarray, tolerance: float) -> list[list[Ring]]:
    """The polygons of a mask `(H, W)`, each its outer ring and those of its holes.

    Args:
        inside: bool.
        tolerance: in pixels, how far a ring may run beside the edge (Douglas and Peucker 1973); 0 for the edge itself.
    """
    # A border between pixels has no pixel of its own: at twice the size each has two, which are one corner again.
    doubled = np.repeat(np.repeat(inside.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_simplified((contour[:, 0] + 1) // 2, tolerance) for contour in contours]
    found = {number: [ring] for number, ring in enumerate(rings) if tree[0][number][3] < 0 and ring is not None}
    for number, ring in enumerate(rings):
        parent = int(tree[0][number][3])
        if parent >= 0 and ring is not None and parent in found:
            found[parent].append(ring)
    return list(found.values())


def drawn(polygons: list[list[Ring]], shape: tuple[int, ...]) -> np.ndarray:
    """Pixels `(H, W)` whose middle lies in the polygons, by the even-odd rule."""
    crossings = np.zeros((shape[0], shape[1] + 1), np.uint8)
    for ring in (ring for polygon in polygons for ring in polygon):
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            rows = np.arange(min(y0, y1), max(y0, y1))
            if rows.size:
                at = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                crossings[rows, np.clip(np.ceil(at - 0.5), 0, shape[1]).astype(int)] ^= 1
    return np.bitwise_xor.accumulate(crossings[:, :-1], axis=1).astype(bool)


def add_polygons(rows: list[dict[str, Any]], ids: np.ndarray, tolerance: float) -> None:
    """Add to the row of each class its polygons, and how well they give back its pixels; raises `Problem`."""
    corners = 0
    for row in rows:
        inside = ids == row["id"]
        polygons = polygons_of(inside, tolerance) if row["pixels"] else []
        corners += sum(len(ring) for polygon in polygons for ring in polygon)
        if corners > _MOST_CORNERS:
            raise Problem(
                422,
                "too-many-corners",
                "a mask with more corners than are sent as polygons",
                f"found: {corners:,} or more; expected: at most {_MOST_CORNERS:,}",
                remedy="a larger tolerance_px, or Accept: image/png",
            )
        back = drawn(polygons, ids.shape)
        union = int((inside | back).sum())
        row["polygons"] = [[ring.tolist() for ring in polygon] for polygon in polygons]
        row["polygons_iou"] = int((inside & back).sum()) / union if union else 1.0


def feature_collection(ids: np.ndarray, model: ServedModel, tolerance: float) -> dict[str, Any]:
    """GeoJSON (RFC 7946) in pixels: a feature for each class that is there; raises `Problem`."""
    rows = [{**row, "pixels": int((ids == row["id"]).sum())} for row in model.classes()]
    add_polygons(rows, ids, tolerance)
    features = []
    for row in rows:
        closed = [[[*ring, ring[0]] for ring in polygon] for polygon in row.pop("polygons")]
        if closed:
            shape = {"type": "MultiPolygon", "coordinates": closed}
            features.append({"type": "Feature", "properties": row, "geometry": shape})
    fields = {"bundle": model.label, "shape": list(ids.shape), "tolerance_px": tolerance}
    return {"type": "FeatureCollection", **fields, "features": features}


def _simplified(ring: np.ndarray, tolerance: float) -> Ring | None:
    """Without the points between two corners; None where nothing is left of it."""
    turned = (ring != np.roll(ring, 1, axis=0)).any(axis=1)
    ring = ring[turned]
    into, out = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    ring = ring[(into != out).any(axis=1)]
    if tolerance > 0 and len(ring):
        ring = cv2.approxPolyDP(ring.astype(np.int32), tolerance, closed=True)[:, 0]
    return ring if len(ring) > 2 else None
