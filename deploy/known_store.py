#!/usr/bin/env python3
"""Leaves with 2 and a sentence where the database in MLFLOW_BACKEND_STORE_URI is of another MLflow.

MLflow's server would change an older one for good, unasked and without a copy.
"""

import os

from seglab.errors import run_script
from seglab.tracking.schema_version import check_revision

run_script(lambda: check_revision(os.environ["MLFLOW_BACKEND_STORE_URI"]))
