"""Where the package, its `conf/` and a checkout of its source are."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# The yamls that come with the package: beside it in a wheel, and in a checkout the folder conf/ at its top.
CONF = (PACKAGE / "conf").resolve()
IN_CHECKOUT = CONF.parent == PACKAGE.parents[1]
ROOT = CONF.parent if IN_CHECKOUT else Path.cwd()
STUDIES = ROOT / "experiments"
