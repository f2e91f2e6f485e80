"""Whether a run of the same settings, data and code is there, for who trains without a sweep."""

from __future__ import annotations

from pathlib import Path

from seglab.config.run_config import Config
from seglab.data.io.folders import check_root
from seglab.errors import ConfigError
from seglab.run_record import Tag
from seglab.runtime.terminal import tell
from seglab.sweeping.job_identity import JobIdentity
from seglab.sweeping.ledger import Ledger
from seglab.tracking.store import open_store
from seglab.tracking.store_lookup import check_beforehand


def done_before(config: Config, directory: Path) -> tuple[dict[str, str], str | None]:
    """The tags by which a run will be found again, of the identity that a sweep would give its job, and the id of the
    one that is finished; None where there is none. Says which of both.

    Args:
        config: of the run.
        directory: the folder of runs.

    Raises:
        ConfigError: a run that goes on, which is no job.
        DataError: data that cannot be used.
        TrackingError: the store does not answer, or cannot be written.
    """
    if config.resume:
        raise ConfigError(
            "a run that goes on is not looked for among the finished ones",
            code="settings-exclude",
            where="once, resume",
            found=f"resume={config.resume}",
            expected="one of both",
            remedy="leave once=True away",
        )
    check_root(config.data.target, config.data.arguments)
    check_beforehand(config.tracking.uri, directory)
    identity = JobIdentity().of(config)
    standing = Ledger(open_store(config.tracking.uri, directory)).standing(identity)
    if standing.kind == "finished" and standing.run is not None:
        tell(f"{standing.run.info.run_name} is there, run {standing.run.info.run_id}: nothing is trained")
        return {}, str(standing.run.info.run_id)
    tell(f"no finished run of these settings is there: {config.run_name} is trained")
    return {Tag.JOB_IDENTITY: identity}, None
