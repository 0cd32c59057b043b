"""Usual lossless codecs on one signal: a folder each, with its code, decoding and seconds.

python usual_codecs.py SAMPLES.raw FACTS.json FOLDER
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from lossless_inr.codecs import image_codecs, sound_codecs


def main(raw: Path, facts: dict, folder: Path) -> None:
    """Try every codec that holds such samples.

    Parameters
    ----------
    raw : Path
        The samples.
    facts : dict
        What the suite tells of them.
    folder : Path
        Gets a folder for each codec, or the reason why there is none.
    """
    shape, bits = tuple(facts["shape"]), facts["bits"]
    samples = np.fromfile(raw, facts["dtype"]).reshape(shape)
    if facts["kind"] == "audio":
        codecs = sound_codecs(shape, bits, facts["encoding"])
    else:
        codecs = image_codecs(shape, bits) if facts["encoding"] == "integer" else {}
    if not codecs:
        reason = f"no usual codec holds {bits}-bit {facts['encoding']}s in shape {shape}"
        (folder / "not_applicable.txt").write_text(reason)
    for name, codec in codecs.items():
        codec.decode(codec.encode(samples))  # the first call loads libraries
        begun = time.perf_counter()
        code = codec.encode(samples)
        encoded = time.perf_counter()
        decoded = codec.decode(code)
        ended = time.perf_counter()
        place = folder / name
        place.mkdir()
        (place / "code").write_bytes(code)
        decoded.astype(facts["dtype"]).tofile(place / "reconstruction.raw")
        seconds = {"encode_seconds": encoded - begun, "decode_seconds": ended - encoded}
        (place / "claims.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]))
