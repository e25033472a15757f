#!/usr/bin/env bash
# Everything that one GPU should tell, in at most 8 minutes: a record per part in results/costs/gpu.
#
#     benchmarks/gpu.sh            on a machine with a GPU; needs no network
#     benchmarks/gpu.sh --nano     the same program at nano size: about a minute on a CPU
#     benchmarks/gpu.sh --parts speed resume --methods vifi_clip --out /tmp/gpu
#
# The rows of exported graphs need onnx, onnxscript and onnxruntime (onnxruntime-gpu for the GPU); without they are skipped,
# which the record says.
#
# PYTHON       the Python with torch; else .venv/bin/python, else python3
# SECONDS_MAX  time for everything, 480 by default
# NANO=1       as --nano
# WHEELS       folder of wheels: what the machine lacks is installed from it into a temporary folder, for this run alone.
#              Without it the script says what is missing. To make one, on a machine with network, for the version that
#              `python3 --version` gives on the other one:
#                  pip download -c constraints.txt --no-deps --only-binary :all: --python-version 3.12 \
#                      --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 -d wheels av kornia kornia_rs
set -u
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
candidates=("$root/.venv/bin/python" python3)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
for python in "${candidates[@]}"; do
    if "$python" -c 'import importlib.util as u, sys
sys.exit(sys.version_info < (3, 11) or u.find_spec("torch") is None)' 2>/dev/null; then
        export PYTHONPATH="$root/src:$root/benchmarks${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
        exec "$python" -m gpu "$@"
    fi
done
echo "no torch in ${candidates[*]}: set PYTHON to a Python of at least 3.11 that has it" >&2
exit 2
