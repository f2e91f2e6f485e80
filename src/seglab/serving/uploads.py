"""The image of a request: its body as it is, or the file of a form; never on a disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from seglab.serving.limits import Limits
from seglab.serving.problems import Problem

_OCTETS = "application/octet-stream"
_FLAT = ("image/png", "image/jpeg", "image/jpg", "image/tiff", "image/bmp", "image/x-ms-bmp", _OCTETS)
_VOLUME = ("application/gzip", "application/x-gzip", "application/nifti", "application/x-nifti", _OCTETS)
FIELD = "image"


class _InMemory(MultiPartParser):
    spool_max_size = 2**62  # the body is in memory already, and no larger than its limit


async def image_of(request: Request, rank: int | None, limits: Limits) -> bytes:
    """The bytes of the image, or of a volume; of either where no `rank` is asked for.

    Raises:
        Problem: another kind of body, a broken form, or an empty one.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    allowed = {2: _FLAT, 3: _VOLUME}.get(rank or 0, tuple(dict.fromkeys(_FLAT + _VOLUME)))
    if kind == "multipart/form-data":
        content = await _of_form(request)
    elif kind in allowed:
        content = await request.body()
    else:
        raise Problem(
            415,
            "image-format",
            "a body of a kind that is not read",
            f"found: Content-Type: {kind[:80] or 'none'}; expected: {', '.join(allowed)}, multipart/form-data",
            remedy=f"name what is sent: -H 'Content-Type: {allowed[0]}'",
        )
    if not content:
        raise Problem(400, "file-unreadable", "a request without an image", "found: 0 bytes")
    return content


async def _of_form(request: Request) -> bytes:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield await request.body()

    try:
        form = await _InMemory(request.headers, stream(), max_files=1, max_fields=8).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise _no_form(str(getattr(error, "message", error))[:200]) from error
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise _no_form(f"fields {', '.join(map(str, form))[:100] or 'none'}")
        return await file.read()
    finally:
        await form.close()


def _no_form(found: str) -> Problem:
    return Problem(
        400, "form-malformed", "a form without an image", f"found: {found}", remedy=f"one file in the field {FIELD}"
    )
