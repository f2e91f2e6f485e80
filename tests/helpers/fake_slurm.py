"""A cluster that has only its commands: sbatch with a limit of jobs and none of arrays, squeue; a test ends the jobs.

What is in the queue is a file `queue/<id>` with the job's name in it; `submitted` has a line for each that was taken.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path

from pretended import begin, finish

from seglab.command import JOB_VARIABLE
from seglab.tracking.store import Store

SBATCH = """#!/bin/sh
cd "$FAKE_SLURM" || exit 1
if grep -q '^#SBATCH --array' "$1"; then echo 'sbatch: error: Invalid job array specification' >&2; exit 1; fi
set -- "$(sed -n 's/^#SBATCH --job-name=//p' "$1")" queue/*
if [ $# -gt "$(cat limit)" ]; then
    touch refused
    echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2
    echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy' >&2
    exit 1
fi
id=$(($(cat next) + 1))
echo $id > next
echo "$id $1" >> submitted
echo "$1" > queue/.$id
mv queue/.$id queue/$id
if [ "$id" = "$(cat kills 2>/dev/null)" ]; then kill -9 $PPID; fi
echo "Submitted batch job $id"
"""
SQUEUE = """#!/bin/sh
cd "$FAKE_SLURM/queue" || exit 1
for file in *; do
    if read -r name < "$file" 2>/dev/null; then echo "$file PENDING $name"; fi
done
exit 0
"""


class FakeSlurm:
    """Makes the commands; `environment` has them on the PATH.

    Args:
        folder: for them and their files.
        limit: so many jobs may be in the queue.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit
        (folder / "queue").mkdir(parents=True)
        (folder / "queue" / "0").touch()  # of another user, so that the queue is never empty
        for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("srun", "#!/bin/sh\n"), ("scancel", "#!/bin/sh\n")):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "limit").write_text(str(limit + 1))
        (folder / "next").write_text("0")
        self.most = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(self.folder)}

    def kill_launcher_at(self, job_id: int) -> None:
        """The launcher dies by kill -9 when this job is in the queue and sbatch has not said so yet."""
        (self.folder / "kills").write_text(str(job_id))

    def submitted(self) -> list[str]:
        """The names of all jobs that were taken."""
        file = self.folder / "submitted"
        return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []

    def refused(self) -> bool:
        """Whether a job was refused since this was asked last."""
        try:
            (self.folder / "refused").unlink()
        except FileNotFoundError:
            return False
        return True

    def queued(self) -> list[str]:
        return sorted((p.name for p in (self.folder / "queue").glob("[1-9]*")), key=int)

    def work(self, store: Store, submitit: Path) -> None:
        """Bring every job that is in the queue to its end, each with the run of its own."""
        queued = self.queued()
        self.most = max(self.most, len(queued))
        for job_id in queued:
            task = submitit / f"{job_id}_submitted.pkl"
            if task.exists():  # else its launcher was killed before it had handed over what there is to do
                words = pickle.loads(task.read_bytes()).function
                tags = json.loads(words.environment[JOB_VARIABLE])["tags"]
                finish(store, begin(store, tags, state=False), float(re.findall(r"seed=(\d+)", str(words.words))[0]))
                result = submitit / f"{job_id}_0_result.pkl"
                result.with_suffix(".tmp").write_bytes(pickle.dumps(("success", 0)))
                result.with_suffix(".tmp").replace(result)  # in one go, as submitit does it
            elif job_id != (self.folder / "kills").read_text():
                continue
            (self.folder / "queue" / job_id).unlink()
