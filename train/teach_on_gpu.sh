#!/bin/sh
# Train the teacher on one GPU, within a time limit, from what was carried to it:
#
#     sh train/teach_on_gpu.sh SHARDS WEIGHTS OUT [MINUTES]
#
# SHARDS is a folder of `python -m train pack`, WEIGHTS a safetensors file to begin with, or
# "pretrained" where there is a network. OUT gets the best weights so far, in pieces. After MINUTES
# (9) it stops in good order; the same command goes on where it stood. RECIPE, PYTHON and PROCESSES
# may be set; PROCESSES=0, where /dev/shm is small, reads with threads. Beside PyTorch and timm it
# needs requirements-teach.txt.
set -eu
shards=$1 weights=$2 out=$3 minutes=${4:-9}
recipe=${RECIPE:-pool_dinov2_teacher}
python=${PYTHON:-python3}
processes=${PROCESSES:-$(nproc)}
run=runs/$(basename "$recipe" .py)
export FAKEFACE_DECODE_IN_PROCESS=1  # the files of the shards were checked when they were packed

"$python" -m train finetune "$recipe" --data "$shards" --init "$weights" --run "$run" \
    --minutes "$minutes" --processes "$processes" --workers "$(nproc)"
"$python" -m train pieces "$run" --out "$out"
