"""Shared by the tests of jobs and searches: composed settings."""

from __future__ import annotations

import pytest

from seglab.sweeping.job_identity import JobIdentity


@pytest.fixture(scope="module")
def identity() -> JobIdentity:
    return JobIdentity()
