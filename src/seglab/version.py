"""The version of this package."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """That of the installed package; `unknown` of a source tree that is not installed."""
    try:
        return metadata.version("seglab")
    except metadata.PackageNotFoundError:
        return "unknown"
