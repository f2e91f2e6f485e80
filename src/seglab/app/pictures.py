"""Pictures that every browser shows: of the data by their addresses, of files of one's own by their contents."""

from __future__ import annotations

from urllib.parse import quote

from seglab.app.api_client import Client
from seglab.app.setup import Setup
from seglab.data.io.image_files import read_image_file
from seglab.serving.file_in_memory import file_of
from seglab.serving.previews import preview


def picture_address(setup: Setup, client: Client, id: str) -> str:
    """Where a browser finds an image of the data as a PNG of 8 bits."""
    return setup.public(f"{client.prefix}/images/{quote(id)}?preview=true")


def png_of(content: bytes) -> bytes:
    """A PNG of 8 bits of an image file that the API has taken: it was within its limits."""
    with file_of(content) as file:
        return preview(read_image_file(file))
