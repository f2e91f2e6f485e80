#!/usr/bin/env bash
# What a GPU must show, in eight minutes on one: training steps against stock Keras and PyTorch, loss curves of three number
# formats, a run on the hippocampus, a served image. Writes docs/gpu_check.json, which the README's table reads.
#   scripts/gpu_check.sh [--hippocampus FOLDER] [--torch-python .venv-torch/bin/python]
#   KERAS_BACKEND=jax scripts/gpu_check.sh …
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[[ -x $python ]] || python=python3
exec "$python" -m benchmarks.gpu "$@"
