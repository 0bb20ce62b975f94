#!/usr/bin/env bash
# On a machine with a CUDA device, and no network: the tests marked cuda, then the times of epochs; both go to docs/cuda.md.
# It takes less than eight minutes. benchmarks/README.md says what the machine needs.
#
#   bash benchmarks/cuda.sh [DATA]     DATA: folder of the data sets, by default data
#
# PYTHON=python3   Python that has torch
# WHEELS=wheels    folder of wheels of the packages that it lacks
# DEVICE=cuda      cpu tries the script on a machine without a card; then no page is kept
set -uo pipefail
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python3}
wheels=${WHEELS:-wheels}
export DEVICE=${DEVICE:-cuda} LABBOOK_TEST_DEVICE=${DEVICE:-cuda}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [ -d "$wheels" ]; then
  # a virtual environment would not see the packages of one that PYTHON itself may be in
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$scratch/site-packages" "$wheels"/*.whl || exit
  export PYTHONPATH="$scratch/site-packages${PYTHONPATH:+:$PYTHONPATH}"
fi
"$python" -c 'import src, hydra, lightning, matplotlib, omegaconf, pandas, pytest, rich, skops, torchinfo, torchvision, xdist' || exit
if [ "$DEVICE" = cuda ]; then
  "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "this machine has no CUDA device" >&2; exit 1; }
  page=docs/cuda.md
else
  page=$scratch/cuda.md
fi

timeout "${TEST_SECONDS:-250}" "$python" -m pytest -m cuda tests/training/test_cuda.py -n "${WORKERS:-4}" -p no:cacheprovider -W default 2>&1 \
  | tee "$scratch/tests.txt"
failed=${PIPESTATUS[0]}
summary=$(grep -E '^[0-9]+ (passed|failed|skipped)|^[0-9]+ .* in [0-9.]+s' "$scratch/tests.txt" | tail -1)
timeout "${BENCHMARK_SECONDS:-200}" "$python" -m benchmarks.cuda "${1:-data}" "$page" "${summary:-they did not finish}" || exit
[ "$DEVICE" = cuda ] || cat "$page"
exit "$failed"
