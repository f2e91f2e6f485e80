"""Whether a disk is full: converters and runtimes say so in their own words, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from seglab.errors import no_room

_LITTLE = 2**20  # bytes; where no more are free, whatever went wrong is reported as a full disk


def no_room_left(error: BaseException, folder: Path) -> OSError | None:
    """What to raise in place of an error of something that writes to a folder; None where there is room.

    Args:
        error: that was raised.
        folder: that is there.
    """
    for place in (folder, Path(tempfile.gettempdir())):
        with suppress(OSError):
            if shutil.disk_usage(place).free < _LITTLE:
                return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) if no_room(error) else None
