import numpy as np
import pytest
import tenacity
from server import Server

from lossless_inr.datasets.checks import Digests


@pytest.fixture(scope="session")
def content():
    return np.random.default_rng(0).integers(0, 256, 300_007, dtype=np.uint8).tobytes()


@pytest.fixture
def expected(content):
    import hashlib

    return Digests(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


@pytest.fixture
def server(content):
    one = Server(content)
    yield one
    one.stop()


@pytest.fixture(autouse=True)
def no_proxy_no_waiting(monkeypatch):
    """Loopback needs no proxy; the pauses between attempts are tested by their number."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tenacity, "wait_exponential_jitter", lambda **_: tenacity.wait_fixed(0.01))
