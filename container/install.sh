#!/bin/sh
# What both recipes run, as root in a Debian 12, in the folder of this project: the versions that
# constraints.txt locks, into /opt/venv. PIP_ARGS: extra options for pip.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update
# g++ builds the engine's compiled pass on first use; git tells records which commit they come from.
apt-get install -y --no-install-recommends python3 python3-venv make git g++
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/venv
# Editable: a volume with a checkout, mounted over this folder, brings its own sources.
/opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    -c constraints.txt ${PIP_ARGS:-} -e '.[cluster]'
# Snakemake's own home: pods may run as a user who has none.
mkdir -p /var/lossless-inr
chmod 1777 /var/lossless-inr
