#!/bin/bash
# Serves a model on a node of a SLURM cluster and says how to come there:
#   sbatch deploy/slurm/serve.sh dist/roadseg                      sbatch --gpus=1 … for a node with a GPU
# Further words go to `seglab serve`. It prints to seglab-serve-<job>.log; scancel --batch --signal=TERM <job> ends it.
#SBATCH --job-name=seglab-serve
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@90
#SBATCH --output=seglab-serve-%j.log
set -euo pipefail

[[ $# -ge 1 ]] || { echo "error: which model? sbatch $0 dist/roadseg" >&2; exit 2; }
port=${SEGLAB_PORT:-$((8000 + ${SLURM_JOB_ID:-0} % 1000))}
node=$(hostname -f)
login=${SLURM_SUBMIT_HOST:-<login node>}
# Others use the node, too, and reach its own address: each job has a key of its own, unless one is given.
if [[ -z ${SEGLAB_API_KEYS:-} ]]; then
    SEGLAB_API_KEYS=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
    export SEGLAB_API_KEYS
    keys=${SEGLAB_KEYS_FILE:-$PWD/seglab-serve-${SLURM_JOB_ID:-0}.key}
    (umask 077 && printf '%s\n' "$SEGLAB_API_KEYS" >"$keys")
    trap 'rm -f "$keys"' EXIT
    echo "the key is in $keys, which you alone can read, while the job lives"
fi
echo "from your machine: ssh -N -L 8000:$node:$port ${USER:-you}@$login"
echo "then: curl -H 'X-API-Key: …' -H 'Content-Type: image/png' --data-binary @street.png http://127.0.0.1:8000/predict -o mask.png"
"${SEGLAB:-seglab}" serve "$@" host=0.0.0.0 "port=$port" "threads=${SLURM_CPUS_PER_TASK:-1}" &
server=$!
told=
trap 'told=1; kill -TERM "$server" 2>/dev/null' TERM INT
code=0
wait "$server" || code=$?
if [[ $told ]]; then # the signal ended that wait; this one is for what is in flight
    code=0
    wait "$server" || code=$?
fi
exit "$code"
