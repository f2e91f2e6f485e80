"""Which form of answer a request asks for."""

from __future__ import annotations

from seglab.serving.problems import Problem

PNG, JSON, GZIP, RAW = "image/png", "application/json", "application/gzip", "application/octet-stream"
GEOJSON = "application/geo+json"


def offered(rank: int) -> tuple[str, ...]:
    """Media types that masks are offered in, the default first."""
    return (PNG, JSON, GEOJSON, RAW) if rank == 2 else (GZIP, JSON, RAW)


def negotiated(accept: str, rank: int) -> str:
    """The media type that an `Accept` header asks for; raises `Problem` where it is none of ours."""
    kinds = offered(rank)
    wanted = []
    for place, part in enumerate(accept.split(",") if accept.strip() else ["*/*"]):
        kind, *parameters = (text.strip().lower() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            share = float(weight)
        except ValueError:
            share = 0.0
        if 0 < share <= 1:
            wanted.append((-share, place, kind))
    for _, _, kind in sorted(wanted):
        found = [one for one in kinds if kind in (one, "*/*", one.split("/")[0] + "/*")]
        if kind in ("application/x-gzip", "application/nifti") and rank == 3:
            found = [GZIP]
        if found:
            return found[0]
    raise Problem(
        406,
        "not-acceptable",
        "an answer of a kind that is not offered",
        f"found: {accept[:200]}; expected: {', '.join(kinds)}",
        remedy=f"Accept: {kinds[0]}",
    )
