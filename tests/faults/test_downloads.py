"""A download host that goes away in the middle."""

import hashlib
import io
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from disturbed import CONFIG, CONFIGFILE, EXPERIMENT, HEADER, Disturbed, check_same, outcome

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))
from server import Server


class Again(Server):
    """A host at an address that it had before."""

    allow_reuse_address = True

    def __init__(self, content, port):
        self.port = port
        super().__init__(content)

    def server_bind(self):
        self.server_address = ("127.0.0.1", self.port)
        super().server_bind()


class Mortal(threading.Thread):
    """Sends half of the file to the first who asks, and is gone with its port."""

    def __init__(self, content: bytes):
        super().__init__(daemon=True)
        self.content = content
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        connection.recv(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(self.content)}\r\n\r\n"
        connection.sendall(head.encode() + self.content[: len(self.content) // 2])
        self.listener.close()
        connection.close()


def content():
    out = io.BytesIO()
    np.save(out, np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    return out.getvalue()


def set_up(project, port):
    header = HEADER.replace("offset\t", "offset\taddress\tdigest\t")
    cells = ["far", "picture", "Far", "photo", 8, 8, "300x300x3", "fetched:picture.npy"]
    cells += [hashlib.sha256(content()).hexdigest(), "crop", ""]
    cells += [f"seen=http://127.0.0.1:{port}/plain/picture.npy", "", "x", ""]
    project.write("mine/datasets.tsv", header + "\t".join(map(str, cells)) + "\n")
    text = EXPERIMENT.replace("[mine/8x8/picture, mine/60/sound]", "[far/8x8/picture]")
    for own in ("mine/8x8/picture", "mine/60/sound"):
        text = text.replace(own, "far/8x8/picture")
    project.write("mine/experiments/one.yaml", text)
    project.write(CONFIGFILE, CONFIG + "fetch: {limit: 20}\n")


@pytest.mark.faults
def test_a_download_host_that_goes_away_in_the_middle(project, tmp_path, counts):
    undisturbed = Disturbed(tmp_path / "undisturbed")
    server = Server(content())
    set_up(undisturbed, server.server_port)
    undisturbed.finish(1)
    server.stop()

    mortal = Mortal(content())
    set_up(project, mortal.port)
    code, output = project.run()
    assert code != 0 and "Traceback" not in output, output
    assert "error: far: cannot fetch picture.npy" in output
    (partial,) = (project.folder / "data/raw/far").glob(".*.partial")
    half = partial.stat().st_size
    assert 0 < half < len(content())
    server = Again(content(), mortal.port)
    try:
        project.finish(1)
        assert [asked for _, asked in server.requests] == [f"bytes={half}-"]
    finally:
        server.stop()
    check_same(project, outcome(undisturbed))
    counts["download host that went away"] += 1
