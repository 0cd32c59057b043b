"""One file from one address: resumed, retried, checked, and renamed only when right.

`requests` does the transfer (proxies, redirects, TLS) and `tenacity` the repetition; what is
written here is what they leave open: going on from a partial file, one limit for the total time,
and never leaving https.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

import requests
import tenacity
from requests.adapters import BaseAdapter

from lossless_inr.datasets.checks import Digests, Hashing, Unfit

CHUNK = 1 << 18
# Seconds without a byte after which a connection is given up (and tried again).
SILENCE = 30.0


class TransferError(Unfit):
    """An address that did not give the file."""


class Temporary(TransferError):
    """A fault that may be gone at the next attempt."""


class DiskError(Exception):
    """The file cannot be written; another address would not help."""


class _Partial:
    """What has been received of a file, on the disk, and its digest so far."""

    def __init__(self, path: Path, expected: Digests):
        self.path, self.expected = path, expected
        self.hashing = Hashing(expected)
        self.resumed = path.exists()
        if self.resumed:
            self.hashing.read(path)

    @property
    def bytes(self) -> int:
        """Bytes received."""
        return self.hashing.bytes

    def restart(self) -> None:
        """Begin again with nothing."""
        self.path.unlink(missing_ok=True)
        self.hashing = Hashing(self.expected)
        self.resumed = False

    def append(self, file, block: bytes) -> None:
        """Write the next bytes; hashed on the way, so that the file need not be read again."""
        file.write(block)
        self.hashing.update(block)


class _NoDowngrade(BaseAdapter):
    """Stands for http:// in a session that began with https://."""

    def send(self, request, **_):
        raise TransferError(f"it redirects from https to {request.url}, which is not secure")

    def close(self):
        """Nothing to close."""


def _session(address: str) -> requests.Session:
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"
    session.max_redirects = 5
    if address.startswith("https://"):
        session.mount("http://", _NoDowngrade())
    return session


def download(
    address: str,
    target: Path,
    expected: Digests,
    *,
    limit: float,
    attempts: int = 5,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> str:
    """Fetch `address` into `target`, which appears only when it is right.

    What has been received stays in `.<name>.partial` beside it and is gone on from, in this call
    or a later one.

    Parameters
    ----------
    address : str
        http or https; a redirect from https to http is refused.
    target : Path
    expected : Digests
    limit : float
        Seconds for all attempts together.
    attempts : int
    progress : callable
        Called with (bytes so far, bytes in all or None).

    Returns
    -------
    str
        sha256 of the file.

    Raises
    ------
    Unfit
        If the address does not give the file.
    DiskError
        If it cannot be written.
    """
    deadline = time.monotonic() + limit
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _Partial(target.with_name(f".{target.name}.partial"), expected)
        while True:
            _attempts(address, partial, deadline, attempts, progress)
            try:
                sha256 = partial.hashing.verdict()
                break
            except Unfit:
                resumed = partial.resumed
                partial.restart()
                if not resumed:  # else the wrong bytes may be those that were there before
                    raise
        partial.path.replace(target)
        return sha256
    except requests.RequestException as error:
        raise TransferError(_words(error)) from None
    except OSError as error:
        raise DiskError(f"{target}: {_disk(error)}") from None


def _attempts(address, partial, deadline, attempts, progress) -> None:
    """Receive the whole file, going on after faults that may pass."""
    left = deadline - time.monotonic()
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Temporary),
        wait=tenacity.wait_exponential_jitter(initial=0.5, max=20),
        stop=tenacity.stop_after_attempt(attempts) | tenacity.stop_before_delay(left),
        reraise=True,
    ):
        with attempt, _session(address) as session:
            _receive(session, address, partial, deadline, progress)


def _disk(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "no space left for it; make room and run the same command again"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "its folder cannot be written to; correct its permissions"
    return error.strerror or str(error)


def _words(error: requests.RequestException) -> str:
    """A requests exception as a few words."""
    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection ({error.__class__.__name__})"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses or cannot be reached"
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached, or broke the connection"
    if isinstance(error, requests.TooManyRedirects):
        return "it redirects in circles"
    return str(error)


def _receive(session, address, partial, deadline, progress) -> None:
    """One attempt: append to the partial file until the server says that is all."""
    if partial.expected.bytes is not None and partial.bytes >= partial.expected.bytes:
        if partial.bytes == partial.expected.bytes:
            return
        partial.restart()
    have = partial.bytes
    left = deadline - time.monotonic()
    if left <= 0:
        raise TransferError("the time limit is over")
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        response = session.get(
            address, headers=headers, stream=True, timeout=(min(10.0, left), min(SILENCE, left))
        )
    except TransferError:
        raise
    except requests.TooManyRedirects as error:
        raise TransferError(_words(error)) from None
    except requests.RequestException as error:
        raise Temporary(_words(error)) from None
    with response:
        status = response.status_code
        if status == 416:  # the partial file is as long as the whole, or longer: begin again
            partial.restart()
            raise Temporary("the server cannot go on from what is there")
        if status in (408, 425, 429) or status >= 500:
            raise Temporary(f"the server answers {status} {response.reason}")
        if status not in (200, 206):
            raise TransferError(f"the server answers {status} {response.reason}")
        if status == 206 and not _goes_on(response, have):
            partial.restart()
            raise Temporary("the server sends another range than asked for")
        if status == 206 and response.headers.get("Content-Encoding"):
            partial.restart()  # a part of a packed file is no part of the file
            raise Temporary("the server packs what it sends")
        if status == 200:
            partial.restart()
        _write(response, partial, deadline, progress)


def _goes_on(response: requests.Response, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _write(response, partial, deadline, progress) -> None:
    expected = partial.expected
    length = response.headers.get("Content-Length", "")
    declared = partial.bytes + int(length) if length.isdigit() else None
    # A server may pack although it was asked not to. One that sends a .gz file as "packed" means
    # the file itself: its length says so.
    packed = bool(response.headers.get("Content-Encoding")) and declared != expected.bytes
    if packed:
        declared = None
    if None not in (declared, expected.bytes) and declared != expected.bytes:
        raise TransferError(f"the server announces {declared} bytes instead of {expected.bytes}")
    most = expected.bytes if expected.bytes is not None else declared
    with open(partial.path, "ab") as file:
        while True:
            if time.monotonic() > deadline:
                raise TransferError("the time limit is over")
            try:
                # read1 returns what is there: a server that drips cannot hold us past the limit.
                block = response.raw.read1(CHUNK, decode_content=packed)
            except Exception as error:  # urllib3's own: resets, broken chunks, bad gzip, silence
                raise Temporary(
                    f"the connection broke after {partial.bytes} bytes ({type(error).__name__})"
                ) from None
            if not block:
                break
            partial.append(file, block)
            if most is not None and partial.bytes > most:
                raise TransferError(f"the server sends more than {most} bytes")
            progress(partial.bytes, most)
    have = partial.bytes
    if packed and expected.bytes is not None and have != expected.bytes:
        partial.restart()
    if most is not None and have < most:
        raise Temporary(f"the connection ended after {have} of {most} bytes")
