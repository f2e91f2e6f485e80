"""`python -m seglab <verb>`, the same as the command `seglab`."""

from __future__ import annotations

from seglab.cli.main import script

if __name__ == "__main__":
    script()
