"""Versions, devices, CPU flags, chosen precision and why, store health, stale runs: make doctor."""

from __future__ import annotations

import sys

from seglab.doctor import main

if __name__ == "__main__":
    sys.exit(main())
