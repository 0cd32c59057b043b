"""What other processes, machines and their ends do to a `.lic` file."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from coder_made import random_network, refused, smooth
from PIL import Image

from lossless_inr.coder.command import compress, decompress
from lossless_inr.coder.container import pack, shipped, unpack
from lossless_inr.coder.context import Sight

# Encodes and decodes with small bands, and says of both what they give; and which kernel ran.
BOTH = """
import ctypes, hashlib, io, pathlib, sys
import numpy as np
from lossless_inr.coder import layout
from lossless_inr.coder.container import pack, unpack
from lossless_inr.coder.network import IntegerNetwork
layout.BAND = 1 << 11
network = IntegerNetwork.from_bytes(pathlib.Path(sys.argv[1]).read_bytes())
samples = np.load(sys.argv[2])
content, _ = pack(samples, 8, network, own=True)
found, _ = unpack(content)
assert np.array_equal(found, samples) and "torch" not in sys.modules
kernel = "unknown"
for path in pathlib.Path(np.__file__).parents[1].glob("numpy.libs/*openblas*"):
    name = getattr(ctypes.CDLL(path), "scipy_openblas_get_corename64_", None)
    if name:
        name.restype = ctypes.c_char_p
        kernel = name().decode()
print(hashlib.sha256(content).hexdigest(), kernel)
"""


def told(folder, **environment):
    done = subprocess.run(
        [sys.executable, "-c", BOTH, str(folder / "a.net"), str(folder / "a.npy")],
        env=os.environ | environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.fixture
def given(tmp_path):
    (tmp_path / "a.net").write_bytes(shipped()["photo"].to_bytes())
    np.save(tmp_path / "a.npy", smooth((1, 40, 33, 3), 8))
    return tmp_path


def test_kernels_and_threads_make_the_same_bytes(given):
    plain, kernel = told(given)
    found = {plain}
    for threads in ("1", "2"):
        found.add(told(given, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)[0])
    assert found == {plain}
    if kernel == "unknown":
        pytest.skip("NumPy's matrix products are not OpenBLAS's here: its kernel cannot be chosen")
    kernels = set()
    for wanted in ("Prescott", "Sandybridge", "Haswell", "SkylakeX"):
        content, kernel = told(given, OPENBLAS_CORETYPE=wanted)
        kernels.add(kernel)
        assert content == plain, kernel
    assert len(kernels) > 1  # of this machine's instructions, at least two sets were tried


@pytest.mark.parametrize("suffix", [".png", ".npy", ".tif"])
def test_decoding_needs_no_torch(tmp_path, suffix):
    samples = smooth((1, 24, 20, 3), 8)
    content, _ = pack(samples, 8, random_network(8, 3, Sight()), own=True)
    (tmp_path / "a.lic").write_bytes(content)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from lossless_inr.cli import main\n"
        "sys.argv = ['lossless-inr', 'decompress', sys.argv[1], '-o', sys.argv[2]]\n"
        "main()"
    )
    output = tmp_path / f"b{suffix}"
    command = [sys.executable, "-c", code, str(tmp_path / "a.lic"), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "exact" in done.stdout, done.stderr[-2000:]
    decompress(tmp_path / "a.lic", tmp_path / "c.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), samples[0])
    if suffix == ".png":
        np.testing.assert_array_equal(np.asarray(Image.open(output)), samples[0])


KILLED = """
import sys
from pathlib import Path
from lossless_inr.coder.command import compress
folder = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for name in ("one", "two"):
        compress(folder / f"{name}.png", folder / "a.lic", updates=0, force=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_leaves_a_whole_file_or_none(tmp_path, seed):
    pictures = {name: smooth((1, 40, 40, 3), 8, seed=k) for k, name in enumerate(("one", "two"))}
    for name, samples in pictures.items():
        Image.fromarray(samples[0]).save(tmp_path / f"{name}.png")
    chance, outcomes = random.Random(seed), []
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0, 0.8))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=60)
            child.stdout.close()
        file = tmp_path / "a.lic"
        if file.exists():
            found, _ = unpack(file.read_bytes())
            assert any(np.array_equal(found, samples) for samples in pictures.values())
        outcomes.append(file.exists())
    assert outcomes == sorted(outcomes)  # a file that was there stays
    left = [path.name for path in tmp_path.iterdir() if path.suffix == ".partial"]
    assert all(name.startswith(".a.lic.") for name in left)
    compress(tmp_path / "one.png", tmp_path / "a.lic", updates=0, force=True)
    np.testing.assert_array_equal(unpack(file.read_bytes())[0], pictures["one"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    Image.fromarray(smooth((1, 9, 9, 3), 8)[0]).save(tmp_path / "a.png")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refused("cannot be written", compress, tmp_path / "a.png", locked / "a.lic", updates=0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, monkeypatch, command):
    samples = smooth((1, 30, 30, 3), 8)[0]
    Image.fromarray(samples).save(tmp_path / "a.png")
    compress(tmp_path / "a.png", tmp_path / "a.lic", updates=0)
    before = hashlib.sha256((tmp_path / "a.lic").read_bytes()).digest()

    opened = open

    def full(path, mode="r", **options):
        """The kernel's own ENOSPC, for the partial file alone."""
        return opened("/dev/full" if str(path).endswith(".partial") else path, mode, **options)

    monkeypatch.setattr("lossless_inr.files.open", full, raising=False)
    words = "no space left"
    if command == "compress":
        refused(words, compress, tmp_path / "a.png", tmp_path / "a.lic", updates=0, force=True)
    else:
        for suffix in (".npy", ".tif", ".png"):
            refused(words, decompress, tmp_path / "a.lic", tmp_path / f"b{suffix}")
            assert not (tmp_path / f"b{suffix}").exists()
    assert hashlib.sha256((tmp_path / "a.lic").read_bytes()).digest() == before


def test_an_output_that_is_a_folder_or_below_a_file_is_refused(tmp_path):
    Image.fromarray(smooth((1, 9, 9, 3), 8)[0]).save(tmp_path / "a.png")
    (tmp_path / "b.lic").mkdir()
    refused("", compress, tmp_path / "a.png", tmp_path / "b.lic", updates=0, force=True)
    refused("", compress, tmp_path / "a.png", tmp_path / "a.png/c.lic", updates=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.lic"]
