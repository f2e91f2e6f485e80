"""What a hostile or careless client sends: no 5xx for it, no more read than the limit, and the next is served."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from served import Running

RNG = np.random.default_rng(2)
SMALL = RNG.integers(0, 256, (20, 30, 3), np.uint8)
LIMIT = 2_000_000  # of the service of these tests


def saved(kind: str, image: np.ndarray = SMALL, **options: object) -> bytes:
    room = io.BytesIO()
    Image.fromarray(image).save(room, kind, **options)
    return room.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def png(width: int, height: int, data: bytes, *more: bytes, depth: int = 8, colours: int = 2) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    made = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join(made.compress(block) for _ in range(count >> 20)) + made.flush()


def tiff(array: np.ndarray = SMALL, **options: object) -> bytes:
    room = io.BytesIO()
    tifffile.imwrite(room, array, photometric="rgb" if array.shape[-1] == 3 else "minisblack", **options)  # type: ignore[arg-type]
    return room.getvalue()


def tags(entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following)


def bmp(width: int, height: int) -> bytes:
    made = bytearray(saved("BMP"))
    made[18:26] = struct.pack("<ii", width, height)
    return bytes(made)


FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one-byte": lambda: b"\x89",
    "text": lambda: b"hello, is this a mask?",
    "html": lambda: b"<!doctype html><script>alert(1)</script>",
    "noise": lambda: RNG.bytes(5000),
    "nul": lambda: bytes(5000),
    "pdf": lambda: b"%PDF-1.7\n" + RNG.bytes(500),
    "zip": lambda: b"PK\3\4" + RNG.bytes(500),
    "gif": lambda: saved("GIF"),
    "webp": lambda: saved("WEBP"),
    "npy": lambda: b"\x93NUMPY\1\0v\0{'descr': '|O'}",
    "png-signature": lambda: b"\x89PNG\r\n\x1a\n",
    "png-half": lambda: saved("PNG")[:900],
    "png-head": lambda: saved("PNG")[:33],
    "png-head-cut": lambda: saved("PNG")[:20],
    "png-flipped": lambda: saved("PNG")[:200] + b"\xff" + saved("PNG")[201:],
    "png-no-data": lambda: png(10, 10, b""),
    "png-short": lambda: png(100, 100, zlib.compress(bytes(50))),
    "png-zero": lambda: png(0, 0, zlib.compress(b"")),
    "png-zero-wide": lambda: png(0, 10, zlib.compress(b"")),
    "png-negative": lambda: png(0xFFFFFFFF, 0xFFFFFFFF, zlib.compress(b"")),
    "png-40000": lambda: png(40000, 40000, zeros(1 << 20)),
    "png-long": lambda: png(400_001, 1, zeros(1 << 21)),
    "png-bomb": lambda: png(600, 600, zeros(1 << 28)),
    "png-depth": lambda: png(10, 10, zlib.compress(bytes(400)), depth=7),
    "png-colours": lambda: png(10, 10, zlib.compress(bytes(400)), colours=5),
    "png-text-bomb": lambda: png(10, 10, zlib.compress(bytes(310)), chunk(b"zTXt", b"a\0\0" + zeros(200 << 20))),
    "png-profile-bomb": lambda: png(10, 10, zlib.compress(bytes(310)), chunk(b"iCCP", b"a\0\0" + zeros(100 << 20))),
    "png-exif-broken": lambda: png(10, 10, zlib.compress(bytes(310)), chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")),
    "png-frames": lambda: saved("PNG", save_all=True, append_images=[Image.new("RGB", (30, 20))] * 3),
    "png-frames-many": lambda: png(10, 10, zlib.compress(bytes(310)), chunk(b"acTL", struct.pack(">II", 100_000, 0))),
    "png-length": lambda: b"\x89PNG\r\n\x1a\n\x7f\xff\xff\xffIHDR" + bytes(64),
    "jpeg-half": lambda: saved("JPEG")[:500],
    "jpeg-head": lambda: saved("JPEG")[:25],
    "jpeg-signature": lambda: b"\xff\xd8\xff",
    "jpeg-no-end": lambda: saved("JPEG")[:-2],
    "jpeg-huge": lambda: saved("JPEG").replace(b"\0\x14\0\x1e", b"\xff\xff\xff\xff", 1),
    "jpeg-zero": lambda: saved("JPEG").replace(b"\0\x14\0\x1e", b"\0\0\0\0", 1),
    "jpeg-exif-broken": lambda: saved("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"),
    "jpeg-noise": lambda: saved("JPEG")[:300] + np.random.default_rng(9).bytes(3000),
    "bmp-half": lambda: saved("BMP")[:700],
    "bmp-signature": lambda: b"BM",
    "bmp-huge": lambda: bmp(60000, 60000),
    "bmp-negative": lambda: bmp(-5, 20),
    "bmp-zero": lambda: bmp(0, 0),
    "tiff-signature": lambda: b"II*\0",
    "tiff-half": lambda: tiff()[:400],
    "tiff-nowhere": lambda: b"II*\0\xff\xff\xff\x7f",
    "tiff-ring": lambda: tags([(256, 4, 1, 9), (257, 4, 1, 9)], 8),
    "tiff-70000": lambda: tags([(256, 4, 1, 70000), (257, 4, 1, 70000), (258, 3, 1, 8), (273, 4, 1, 8)]),
    "tiff-no-size": lambda: tags([(258, 3, 1, 8)]),
    "tiff-zero": lambda: tags([(256, 4, 1, 0), (257, 4, 1, 0), (258, 3, 1, 8)]),
    "tiff-pages": lambda: tiff(np.zeros((30, 8, 8), np.uint8)),
    "tiff-entries": lambda: b"II*\0\x08\0\0\0\xff\xff" + RNG.bytes(3000),
    "tiff-bomb": lambda: tiff(np.zeros((600, 600, 3), np.uint8), compression="zlib"),
    "tiff-shape-told": lambda: tiff(description='{"shape": [99999, 99999, 3]}', metadata=None),
    "tiff-imagej": lambda: tiff(SMALL[..., 0], description="ImageJ=1.53\nimages=99999\nslices=99999\n", metadata=None),
    "bigtiff-cut": lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**62),
    "complex-tiff": lambda: tiff(np.zeros((9, 9), np.complex64)),
}
# Of these every pixel is there, so that they are served: an EXIF block that cannot be read turns nothing; what lies
# behind the last pixel is not decoded; a size that a description claims is not looked at; much of the same packs well.
WHOLE = {
    "png-exif-broken": (10, 10),
    "jpeg-exif-broken": (30, 20),
    "png-bomb": (600, 600),
    "tiff-bomb": (600, 600),
    "tiff-shape-told": (30, 20),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_image_is_the_senders_fault(name: str, road_service: Running) -> None:
    content = FILES[name]()
    assert len(content) < LIMIT
    before = road_service.cpu_seconds()
    answer = road_service.predict(content)
    assert road_service.cpu_seconds() - before < 5
    if name in WHOLE:
        assert answer.status_code == 200, answer.text
        assert Image.open(io.BytesIO(answer.content)).size == WHOLE[name]
    else:
        assert answer.status_code in (400, 413, 415, 422), f"{answer.status_code} {answer.text[:300]}"
        assert answer.headers["content-type"] == "application/problem+json"
        assert not re.search("/tmp|/dev/shm|seglab-serve", answer.text)
    assert road_service.predict(saved("PNG")).status_code == 200


def test_memory_stays_where_it_was(road_service: Running) -> None:
    for name in ("png-40000", "png-text-bomb", "tiff-70000", "png-profile-bomb"):
        content = FILES[name]()
        road_service.predict(saved("PNG"))
        before = road_service.rss()
        road_service.predict(content)
        assert road_service.rss() - before < 64 << 20, name


def volume(shape: tuple[int, ...], data: bytes = b"", code: int = 2) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_zooms(())
    raw = bytearray(header.binaryblock)
    raw[40 : 40 + 2 * (len(shape) + 1)] = struct.pack(f"<{len(shape) + 1}h", len(shape), *shape)
    raw[70:74] = struct.pack("<hh", code, 8)
    raw[76:108] = struct.pack("<8f", 1, 1, 1, 1, 1, 1, 1, 1)
    raw[108:112] = struct.pack("<f", 352.0)
    return bytes(raw) + bytes(4) + data


VOLUMES: dict[str, Callable[[], bytes]] = {
    "empty-gzip": lambda: gzip.compress(b""),
    "cut-gzip": lambda: gzip.compress(volume((20, 20, 20), RNG.bytes(8000)))[:3000],
    "30000": lambda: gzip.compress(volume((30000, 30000, 30000), b"a" * 10)),
    "cut": lambda: volume((50, 50, 50), b"a" * 10),
    "zero": lambda: volume((0, 5, 5), b"a" * 10),
    "negative": lambda: volume((-3, 5, 5), b"a" * 10),
    "flat": lambda: volume((5, 5), b"a" * 25),
    "complex": lambda: volume((5, 5, 5), b"a" * 1000, code=32),
    "too-many": lambda: gzip.compress(volume((100, 100, 100), bytes(1_000_000))),
    "bomb": lambda: gzip.compress(volume((20, 20, 20), bytes(400 << 20)), 1),
    "axes": lambda: volume((5, 5, 5, 2, 2), b"a" * 500),
    "noise": lambda: RNG.bytes(4000),
    "png": lambda: saved("PNG"),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_a_hostile_volume_is_the_senders_fault(name: str, organ_service: Running) -> None:
    before = organ_service.rss()
    answer = organ_service.predict(VOLUMES[name](), "application/gzip", "application/gzip")
    if name != "bomb":  # the volume is whole; what lies behind it is not looked at for long
        assert answer.status_code in (400, 413, 415, 422), answer.text[:300]
        assert answer.headers["content-type"] == "application/problem+json"
    assert organ_service.rss() - before < 64 << 20


def test_a_volume_is_no_image(organ_service: Running) -> None:
    assert organ_service.predict(saved("PNG"), "*/*", "image/png").status_code == 415
    assert organ_service.predict(b"", "image/png", "application/gzip").status_code == 406
    assert organ_service.predict(b"", "*/*", "application/gzip").status_code == 400


@pytest.mark.parametrize("path", ["/predict", "/", "/nothing", "/health", "/metrics", "/v2/models/road/infer", "/docs"])
@pytest.mark.parametrize("framing", ["claimed", "chunked", "lying"])
def test_a_body_is_stopped_at_its_limit_on_every_address(path: str, framing: str, road_service: Running) -> None:
    size = 200 << 20
    head = {
        "claimed": f"Content-Length: {size}\r\n",
        "chunked": "Transfer-Encoding: chunked\r\n",
        "lying": "Content-Length: 100\r\n",
    }[framing]
    part = bytes(1 << 16)
    piece = b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part
    sent, answer = 0, b""
    with road_service.socket() as one:
        one.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n{head}\r\n".encode())
        with suppress(OSError):
            while sent < size:
                one.sendall(piece)
                sent += len(part)
        with suppress(OSError):
            answer = one.recv(4096)
    assert sent < LIMIT + (8 << 20)  # with what lies in the sockets' own buffers
    if answer and framing != "lying":
        assert answer.startswith(b"HTTP/1.1 413")
    assert road_service.predict(saved("PNG")).status_code == 200


def test_a_chunked_body_within_the_limit_is_served(road_service: Running) -> None:
    content = saved("PNG")
    answer = road_service.client.post(
        "/predict", content=iter([content[:100], content[100:]]), headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == 200
    packed = road_service.client.post(
        "/predict", content=gzip.compress(content), headers={"Content-Type": "image/png", "Content-Encoding": "gzip"}
    )
    assert (packed.status_code, packed.json()["code"]) == (415, "content-encoding")


@pytest.mark.parametrize(
    "form",
    [
        b"",
        b"--a\r\n",
        b'--a\r\nContent-Disposition: form-data; name="image"\r\n\r\nx\r\n--a--\r\n',
        b'--a\r\nContent-Disposition: form-data; name="other"; filename="a"\r\n\r\nx\r\n--a--\r\n',
        b'--a\r\nContent-Disposition: form-data; name="image"; filename="../../etc/x"\r\n\r\nx\r\n--a--\r\n',
        b'--a\r\nContent-Disposition: form-data; name="%s"; filename="a"\r\n\r\nx\r\n--a--\r\n' % (b"n" * 100_000),
        b'--a\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n' * 5000 + b"--a--\r\n",
        b'--a\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nx\r\n' * 50 + b"--a--\r\n",
    ],
)
def test_a_broken_form_is_refused(form: bytes, road_service: Running) -> None:
    for kind in ("multipart/form-data; boundary=a", "multipart/form-data", "multipart/form-data; boundary="):
        answer = road_service.client.post("/predict", content=form, headers={"Content-Type": kind})
        assert answer.status_code in (400, 415), answer.text[:300]
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_silent_client_is_let_go(road: Path) -> None:
    with Running(road, "body_seconds=0.5") as running, running.socket() as one:
        one.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nabc")
        assert one.recv(4096).startswith(b"HTTP/1.1 408")
