"""One file from one address, over a real connection with real faults."""

import gzip
import os
import resource
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import trustme
from server import Server

from lossless_inr.datasets.checks import Digests, Unfit
from lossless_inr.datasets.transfer import DiskError, Stopped, download

ROOT = Path(__file__).resolve().parents[2]


def fetch(server, fault, target, expected, **options):
    options = {"limit": 20.0, "attempts": 5} | options
    return download(server.address(fault), target, expected, **options)


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        ("plain", 1),
        ("500-then-good", 3),
        ("reset", 4),
        ("reset-no-ranges", 4),
        ("redirect", 2),
        ("gzip", 1),
        ("called-gzip", 1),
        ("no-ranges", 1),
    ],
)
def test_faults_that_pass_end_with_the_right_file(
    server, tmp_path, content, expected, fault, requests
):
    target = tmp_path / "new" / "file"
    assert fetch(server, fault, target, expected) == expected.sha256
    assert target.read_bytes() == content
    assert len(server.requests) == requests
    assert os.listdir(target.parent) == ["file"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404", "404"),
        ("down", "503"),
        ("wrong", "sha256"),
        ("longer", "300011 bytes instead of 300007"),
        ("truncated", "bytes"),
        ("empty", "0 bytes instead of 300007"),
        ("circle", "circles"),
    ],
)
def test_faults_that_stay_are_told_and_leave_no_file(server, tmp_path, expected, fault, words):
    if fault == "truncated":
        expected = Digests(sha256=expected.sha256)  # the length would tell before the digest
        server.content = server.content[:50]  # each attempt goes on from half of what is left
    with pytest.raises(Unfit, match=words):
        fetch(server, fault, tmp_path / "file", expected)
    assert not (tmp_path / "file").exists()
    if fault in ("404", "circle"):
        assert server.count[fault] < 10


def test_a_reset_connection_is_gone_on_from_where_it_was(server, tmp_path, content, expected):
    fetch(server, "reset", tmp_path / "file", expected)
    starts = [int((asked or "bytes=0-")[6:-1]) for _, asked in server.requests]
    assert starts == sorted(starts) and len(set(starts)) == len(starts) == 4


def test_a_partial_file_of_an_earlier_call_is_used(server, tmp_path, content, expected):
    (tmp_path / ".file.partial").write_bytes(content[:123_456])
    fetch(server, "plain", tmp_path / "file", expected)
    assert [asked for _, asked in server.requests] == ["bytes=123456-"]


@pytest.mark.parametrize("length", [100, 300_007, 300_100])
def test_a_partial_file_of_wrong_bytes_is_thrown_away(server, tmp_path, content, expected, length):
    (tmp_path / ".file.partial").write_bytes(b"x" * length)
    fetch(server, "plain", tmp_path / "file", expected)
    assert (tmp_path / "file").read_bytes() == content


def test_a_part_of_a_packed_file_is_not_gone_on_from(server, tmp_path, content, expected):
    (tmp_path / ".file.partial").write_bytes(content[:1000])
    fetch(server, "gzip-part", tmp_path / "file", expected)
    assert (tmp_path / "file").read_bytes() == content
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


def test_a_server_that_sends_another_range_does_no_harm(server, tmp_path, content, expected):
    (tmp_path / ".file.partial").write_bytes(content[:1000])
    fetch(server, "other-range", tmp_path / "file", expected)
    assert (tmp_path / "file").read_bytes() == content


@pytest.mark.parametrize("fault", ["stalls", "drips"])
def test_the_time_limit_holds(server, tmp_path, expected, fault):
    begun = time.monotonic()
    with pytest.raises(Unfit):
        fetch(server, fault, tmp_path / "file", expected, limit=1.5)
    assert time.monotonic() - begun < 10
    assert not (tmp_path / "file").exists()


def test_a_server_that_is_not_there(tmp_path, expected):
    gone = Server(b"")
    address = gone.address("plain")
    gone.stop()
    with pytest.raises(Unfit, match="cannot be reached"):
        download(address, tmp_path / "file", expected, limit=5, attempts=2)


@pytest.fixture
def secure(content, tmp_path, monkeypatch):
    """A server with a certificate of an authority that requests is told to trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    one = Server(content, context)
    yield one
    one.stop()


def test_https_is_never_left(secure, tmp_path, expected):
    assert fetch(secure, "plain", tmp_path / "file", expected) == expected.sha256
    with pytest.raises(Unfit, match="not secure"):  # "redirect" leads to http
        fetch(secure, "redirect", tmp_path / "other", expected)
    assert len(secure.requests) == 2 and not (tmp_path / "other").exists()


def test_https_is_never_left_at_a_later_hop_either(server, secure, tmp_path, expected):
    server.onward = secure.address("redirect")  # http -> https -> http
    with pytest.raises(Unfit, match="not secure"):
        fetch(server, "hop", tmp_path / "file", expected)
    server.onward = secure.address("plain")
    assert fetch(server, "hop", tmp_path / "file", expected) == expected.sha256


@pytest.mark.parametrize("earlier", [False, True])
def test_two_versions_of_a_file_are_never_mixed(server, tmp_path, content, earlier):
    """Nobody knows its digest, and it changes between the first half and the second."""
    target = tmp_path / "file"
    if earlier:
        with pytest.raises(Unfit):
            fetch(server, "two-versions", target, Digests(), attempts=1)
    fetch(server, "two-versions", target, Digests())
    assert target.read_bytes() == bytes(b ^ 255 for b in content)
    assert os.listdir(tmp_path) == ["file"]


def test_what_cannot_be_told_from_another_version_is_fetched_anew(server, tmp_path, content):
    fetch(server, "reset", tmp_path / "file", Digests())  # no ETag, no date
    assert (tmp_path / "file").read_bytes() == content
    assert [asked for _, asked in server.requests] == [None] * 4


def test_a_transfer_can_be_stopped(server, tmp_path, expected):
    stop = threading.Event()
    begun = time.monotonic()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        fetch(server, "drips", tmp_path / "file", expected, stop=stop)
    assert time.monotonic() - begun < 5
    assert (tmp_path / ".file.partial").stat().st_size > 0


def test_a_certificate_of_nobody_is_not_trusted(secure, tmp_path, expected, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(Unfit, match="no secure connection"):
        fetch(secure, "plain", tmp_path / "file", expected, attempts=2)
    assert not secure.requests


def test_a_file_whose_length_and_digest_nobody_knows(server, tmp_path, content):
    fetch(server, "plain", tmp_path / "file", Digests())
    assert (tmp_path / "file").read_bytes() == content


def test_md5_alone_is_checked(server, tmp_path):
    with pytest.raises(Unfit, match="md5"):
        fetch(server, "plain", tmp_path / "file", Digests(md5="0" * 32))


def test_a_packed_transfer_of_an_unknown_file_is_unpacked(server, tmp_path, content):
    fetch(server, "gzip", tmp_path / "file", Digests())
    assert (tmp_path / "file").read_bytes() == content
    assert gzip.compress(content)[:2] == b"\x1f\x8b"


def test_progress_is_told_with_the_total(server, tmp_path, expected):
    told = []
    fetch(server, "plain", tmp_path / "f", expected, progress=lambda *a: told.append(a))
    assert told[-1] == (300_007, 300_007) and [d for d, _ in told] == sorted(d for d, _ in told)


# --- the disk -----------------------------------------------------------------------------


def limited(script, arguments, **limits):
    """Run a script in a process with resource limits; its standard output."""

    def prepare():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


FETCH = """
    import sys
    from pathlib import Path
    from lossless_inr.datasets.checks import Digests
    from lossless_inr.datasets.transfer import DiskError, Stopped, download
    try:
        download(sys.argv[1], Path(sys.argv[2]), Digests(sys.argv[3]), limit=30)
    except DiskError as error:
        print(error)
"""


def test_no_space_is_told_and_can_be_gone_on_from(server, tmp_path, content, expected):
    arguments = (server.address("plain"), tmp_path / "file", expected.sha256)
    told = limited(FETCH, arguments, RLIMIT_FSIZE=100_000).stdout
    assert "no space left" in told and str(tmp_path / "file") in told
    assert not (tmp_path / "file").exists()
    fetch(server, "plain", tmp_path / "file", expected)
    assert (tmp_path / "file").read_bytes() == content


def test_a_folder_that_cannot_be_written_to(server, tmp_path, expected):
    (tmp_path / "no-folder").write_text("a file stands in its place")
    with pytest.raises(DiskError, match="no-folder"):
        fetch(server, "plain", tmp_path / "no-folder" / "file", expected)
    assert server.requests == []


def test_a_small_disk(server, tmp_path, expected):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        with pytest.raises(DiskError, match="no space left"):
            fetch(server, "plain", place / "file", expected)
    finally:
        subprocess.run(["umount", str(place)], check=True)


# --- kills --------------------------------------------------------------------------------


@pytest.mark.parametrize("received", [round(300_007 * k / 20) for k in range(20)])
def test_a_killed_fetch_is_gone_on_from(server, tmp_path, content, expected, received):
    """SIGKILL once so many bytes are on the disk; the same fetch then ends right."""
    target = tmp_path / "file"
    arguments = (server.address("slow"), target, expected.sha256)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FETCH), *map(str, arguments)], cwd=ROOT
    )
    partial = tmp_path / ".file.partial"
    give_up = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size >= received):
        assert time.monotonic() < give_up and process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not target.exists() or target.read_bytes() == content
    fetch(server, "plain", target, expected)
    assert target.read_bytes() == content
    assert os.listdir(tmp_path) == ["file"]
