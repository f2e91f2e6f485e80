"""Runs a command and tells what it took, in JSON: python -S watch.py <command>. What the command says goes to stderr.

A process of its own, and a small one: the most memory that the system counts for a process begins with what the process
held that started it.
"""

import json
import resource
import subprocess
import sys
import time

_MB = 2**20 if sys.platform == "darwin" else 2**10  # of what the system counts in

began = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=sys.stderr, check=False).returncode
seconds = time.monotonic() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
took = {
    "memory_mb": used.ru_maxrss / _MB,
    "seconds": seconds,
    "processor_seconds": used.ru_utime + used.ru_stime,
}
print(json.dumps(took))
sys.exit(code)
