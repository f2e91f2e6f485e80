"""What a GPU must show, in eight minutes: `scripts/gpu_check.sh`. One file of results; the README's table reads it."""
