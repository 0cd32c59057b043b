"""Rates of the exact coder beside the codecs people use: MNIST's test digits, and Kodak.

Every file of the coder is decoded again and compared; `exact` counts those that came back. `file`
is the whole file, `payload` leaves out what a constant image of that size takes (the container),
`together` is all images in one stream.

    python benchmarks/coder.py mnist --mirror FOLDER [--images 10000]
    python benchmarks/coder.py kodak --mirror FOLDER     # 24 at 64x64
    python benchmarks/coder.py native --mirror FOLDER    # resumes; one row per image and coder
"""

from __future__ import annotations

import argparse
import gzip
import io
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
from PIL import Image

from lossless_inr.coder import codec
from lossless_inr.coder.command import UPDATES, WIDTH, best_shipped
from lossless_inr.coder.container import OWN, SHIPPED, channel_order, pack, shipped, unpack
from lossless_inr.coder.context import Sight
from lossless_inr.coder.training import train
from lossless_inr.signals.resample import centre_square, downsample

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
CHUNK = 1000
NATIVE = ("05", "20", "23")
RESAMPLES = 2000


def codecs() -> dict:
    """Name -> function from uint8 (height, width[, 3]) to bytes."""
    return {
        "PNG, level 1, RLE (OpenCV's default)": lambda x: imagecodecs.png_encode(
            x, level=1, strategy=imagecodecs.PNG.STRATEGY.RLE, filter=imagecodecs.PNG.FILTER.SUB
        ),
        "PNG, level 9": lambda x: imagecodecs.png_encode(x, level=9),
        "WebP lossless, level 100": lambda x: imagecodecs.webp_encode(
            x if x.ndim == 3 else np.ascontiguousarray(np.repeat(x[..., None], 3, 2)),
            lossless=True,
            level=100,
        ),
        "TIFF, LZW and predictor (Pillow)": tiff,
        "JPEG 2000, box (Pillow)": jp2,
        "raw samples, zstd 22": lambda x: imagecodecs.zstd_encode(x.tobytes(), level=22),
        "raw samples, brotli 11": lambda x: imagecodecs.brotli_encode(x.tobytes(), level=11),
        "JPEG-LS": imagecodecs.jpegls_encode,
        "JPEG 2000 codestream": lambda x: imagecodecs.jpeg2k_encode(
            x, level=0, reversible=True, codecformat="j2k"
        ),
        "JPEG XL, effort 9": lambda x: imagecodecs.jpegxl_encode(x, lossless=True, effort=9),
    }


def tiff(samples: np.ndarray) -> bytes:
    """As Pillow writes it, through libtiff; OpenCV's files are larger by 0.25 bits a pixel."""
    file = io.BytesIO()
    tags = {317: 2}  # Predictor: horizontal differences
    Image.fromarray(samples).save(file, "TIFF", compression="tiff_lzw", tiffinfo=tags)
    return file.getvalue()


def jp2(samples: np.ndarray) -> bytes:
    """As Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(samples).save(file, "JPEG2000", irreversible=False)
    return file.getvalue()


def interval(rates: np.ndarray) -> tuple[float, float]:
    """95 % of bootstrap means over images."""
    generator = np.random.default_rng(0)
    means = [
        rates[generator.integers(len(rates), size=len(rates))].mean() for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def row(coder: str, sizes: np.ndarray, payload: np.ndarray, pixels: int, **more) -> dict:
    """Mean rates in bits per pixel."""
    rates = 8 * sizes / pixels
    low, high = interval(rates)
    facts = {"coder": coder, "images": len(sizes), "file": rates.mean(), "low": low, "high": high}
    return facts | {"payload": 8 * payload.mean() / pixels} | more


def usual(images: list[np.ndarray], pixels: int) -> list[dict]:
    """The codecs, an image at a time."""
    rows = []
    for name, encode in codecs().items():
        begin = time.perf_counter()
        sizes = np.array([len(encode(np.ascontiguousarray(image))) for image in images])
        seconds = (time.perf_counter() - begin) / len(images)
        empty = len(encode(np.zeros_like(images[0])))
        rows.append(
            row(name, sizes, np.maximum(sizes - empty, 0), pixels, encode_ms=1000 * seconds)
        )
        print(rows[-1], flush=True)
    return rows


def ours(name: str, samples: np.ndarray) -> dict:
    """One shipped network, a file of each image, all decoded; and all in one stream."""
    network, pixels = shipped()[name], samples.shape[1] * samples.shape[2]
    given, samples = samples, samples[..., channel_order(samples.shape[3])]
    sizes, streams, exact, together = [], [], 0, 0.0
    encoding = decoding = 0.0
    for begin in range(0, len(samples), CHUNK):
        chunk = samples[begin : begin + CHUNK]
        clock = time.perf_counter()
        coded = codec.encode_apart(list(chunk[:, None]), network)
        encoding += time.perf_counter() - clock
        clock = time.perf_counter()
        back = codec.decode_apart(coded, (1, *samples.shape[1:]), network)
        decoding += time.perf_counter() - clock
        exact += sum(np.array_equal(one[0], image) for one, image in zip(back, chunk, strict=True))
        streams += [len(stream) for stream in coded]
        together += codec.cost(chunk, network) / 8
    head = len(pack(samples[:1, :, :, :] * 0, 8, network, own=False)[0])
    head -= len(codec.encode(samples[:1] * 0, network))
    sizes = np.array(streams) + head
    # A few files in full: their length is what is counted here.
    for image, size in zip(given[:20], sizes[:20], strict=True):
        content, parts = pack(image[None], 8, network, own=False)
        found, _ = unpack(content)
        assert content[4] == SHIPPED and parts.file == size and np.array_equal(found[0], image)
    n = len(samples)
    return row(
        f"ours, {name}", sizes, np.array(streams), pixels, together=8 * together / n / pixels,
        exact=exact, encode_ms=1000 * encoding / n, decode_ms=1000 * decoding / n,
    )  # fmt: skip


def mnist(mirror: Path, count: int) -> None:
    """Codecs and the three networks for digits."""
    content = gzip.decompress((mirror / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())
    samples = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28, 1)[:count]
    counts = np.bincount(samples.ravel(), minlength=256) / samples.size
    entropy = -(counts[counts > 0] * np.log2(counts[counts > 0])).sum()
    path = RESULTS / "coder-mnist.csv"
    rows = [{"coder": "zero-order entropy", "images": len(samples), "file": entropy}]
    rows += usual(list(samples[:, :, :, 0]), 784)
    known = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["coder", "images"])
    for name in ("digits", "digits-blind", "digits-alone"):
        done = known[(known.coder == f"ours, {name}") & (known.images == len(samples))]
        rows += done.to_dict("records") if len(done) else [ours(name, samples)]
        print(rows[-1], flush=True)
        pd.DataFrame(rows).round(4).to_csv(path, index=False)


def kodak(mirror: Path) -> None:
    """All 24 at 64x64."""
    images = [
        downsample(
            centre_square(np.asarray(Image.open(path))), 64, 64, from_bits=8, to_bits=8
        ).astype(np.uint8)
        for path in sorted((mirror / "kodak").glob("*.png"))
    ]
    rows = usual(images, 64 * 64)
    rows.append(ours("photo", np.stack(images)))
    pd.DataFrame(rows).round(4).to_csv(RESULTS / "coder-kodak64.csv", index=False)
    print(rows[-1])


def native(mirror: Path) -> None:
    """A network of its own for each image, at the size it has."""
    path = RESULTS / "coder-native.csv"
    known = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["image"])
    for number in NATIVE:
        if f"kodim{number}" in set(known.image):
            continue
        image = np.asarray(Image.open(mirror / f"kodak/kodim{number}.png"))
        pixels = image.shape[0] * image.shape[1]
        rows = []
        for name, encode in codecs().items():
            begin = time.perf_counter()
            size = len(encode(np.ascontiguousarray(image)))
            rows.append(
                {"coder": name, "bpp": 8 * size / pixels, "encode_s": time.perf_counter() - begin}
            )
        samples = image[None][..., channel_order(3)]
        begin = time.perf_counter()
        start = best_shipped(samples, 8)
        network = train(samples, 8, Sight(), width=WIDTH, updates=UPDATES, start=start)
        trained = time.perf_counter() - begin
        begin = time.perf_counter()
        content, parts = pack(image[None], 8, network, own=True)
        encoded = time.perf_counter() - begin
        begin = time.perf_counter()
        found, _ = unpack(content)
        rows.append(
            {
                "coder": "ours, own network", "bpp": 8 * len(content) / pixels,
                "network_bytes": parts.network, "exact": bool(np.array_equal(found[0], image)),
                "train_s": trained, "encode_s": encoded, "decode_s": time.perf_counter() - begin,
            }
        )  # fmt: skip
        assert content[4] == OWN
        shared = codec.cost(samples, start)
        rows.append({"coder": "ours, photo (cost)", "bpp": shared / pixels})
        table = pd.DataFrame(rows).assign(image=f"kodim{number}").round(4)
        known = pd.concat([known, table])
        known.to_csv(path, index=False)
        print(table.to_string(), flush=True)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("mnist", "kodak", "native"))
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10_000)
    arguments = parser.parse_args()
    if arguments.part == "mnist":
        mnist(arguments.mirror, arguments.images)
    else:
        {"kodak": kodak, "native": native}[arguments.part](arguments.mirror)


if __name__ == "__main__":
    main()
