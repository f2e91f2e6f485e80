"""What one request, one client and all of them together may ask for; shown by the service itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from seglab.safety.untrusted_files import MEBI


@dataclass(frozen=True)
class Limits:
    """Limits of a service.

    Attributes:
        body_bytes: of one request, as it arrives and unpacked from a form.
        buffered_bytes: of all bodies that are held at a time.
        pixels: of a 2D image, H × W, told by its header before it is decoded.
        voxels: of a volume and its channels, X × Y × Z × C, likewise.
        frames: pages or pictures in a file.
        queue: requests that wait for the model; one more is answered 503.
        deadline_seconds: from the last byte of a request to its answer, else 504.
        body_seconds: a client may be silent in the middle of its request, and take for the headers of one; its body may
            take as long, and a second more for each 10 kB that have come.
        requests_per_minute: of one key, or of one address where there are no keys; 0 for any number.
    """

    body_bytes: int = 64 * MEBI
    buffered_bytes: int = 512 * MEBI
    pixels: int = 64_000_000
    voxels: int = 256_000_000
    frames: int = 1
    queue: int = 32
    deadline_seconds: float = 60.0
    body_seconds: float = 30.0
    requests_per_minute: int = 0

    def shown(self) -> dict[str, float]:
        """As `/v2/models/{name}` tells them."""
        return asdict(self)
