#!/usr/bin/env bash
# Paper-scale fits on a lent GPU, resumable. See benchmarks/README.md.
#
#   gpu_batch.sh prepare MIRROR   here: signals and the few wheels the GPU machine lacks -> .gpu/
#   gpu_batch.sh run [SECONDS]    there: GPU tests, engine benchmark, then fits until the time is up
#   gpu_batch.sh merge FOLDER     here: records that came back -> results/reference/paper/
#   gpu_batch.sh dry              anywhere: the whole procedure on a CPU with small images
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
BATCH="$PYTHON benchmarks/gpu_batch.py"
BEGUN=$SECONDS

case "${1:-}" in
prepare)
    $BATCH prepare "${2:?the mirror folder}" .gpu/signals
    $PYTHON -m pip download --quiet --no-deps --dest .gpu/wheels --only-binary :all: \
        --python-version 3.12 --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 \
        $(grep -E '^(pydantic|pydantic_core|pydantic-core|annotated-types|typing-inspection|ruamel\.yaml)==' constraints.txt)
    du -sh .gpu
    ;;
run)
    LIMIT=${2:-560}
    : "${OUT:?the folder that comes back}"
    SITE=/tmp/gpu_batch/site
    [ -d "$SITE" ] || $PYTHON -m pip install --quiet --no-index --no-deps --target "$SITE" .gpu/wheels/*.whl
    export PYTHONPATH="$PWD:$SITE" PYTHONUNBUFFERED=1
    cp -n .gpu/out/* "$OUT"/ 2>/dev/null || true # what earlier commands brought back
    # Each step writes into $OUT and is left out once its result is there.
    [ -e "$OUT/tests.txt" ] || timeout 120 $PYTHON -m pytest -q -p no:cacheprovider tests/gpu >"$OUT/tests.txt" 2>&1 || tail -5 "$OUT/tests.txt"
    if [ ! -e benchmarks/results/engine-cuda.json ] && [ ! -e "$OUT/engine-cuda.json" ]; then
        timeout 240 $PYTHON benchmarks/bench_engine.py --cases 256x256-8 --output "$OUT" || echo "the engine benchmark did not end"
    fi
    LEFT=$((LIMIT - (SECONDS - BEGUN)))
    $BATCH run --signals .gpu/signals --out "$OUT" --work /tmp/gpu_batch/work --limit "$LEFT"
    ;;
merge)
    mkdir -p .gpu/out && cp "${2:?the folder that came back}"/* .gpu/out/
    $BATCH merge .gpu/out
    if [ -e .gpu/out/engine-cuda.json ]; then cp .gpu/out/engine-cuda.json benchmarks/results/; fi
    ;;
dry)
    FOLDER=$(mktemp -d)
    trap 'rm -rf "$FOLDER"' EXIT
    $BATCH prepare '' "$FOLDER/signals" --scale smoke
    for LIMIT in ${2:-2} 300; do # the first is too short on purpose
        $BATCH run --device cpu --signals "$FOLDER/signals" --out "$FOLDER/out" --work "$FOLDER/work" --limit "$LIMIT" --reference "$FOLDER/none"
    done
    $BATCH merge "$FOLDER/out" "$FOLDER/reference"
    cat "$FOLDER/reference/summary.csv"
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
