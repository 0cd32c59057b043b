"""One file from one address: resumed, retried, checked, and renamed only when right.

`requests` does the transfer (proxies, redirects, TLS) and `tenacity` the repetition; what is
written here is what they leave open: going on from a partial file, one limit for the total time,
and never leaving https.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import requests
import tenacity

from lossless_inr.datasets.checks import Digests, Hashing, Unfit
from lossless_inr.files import refusal, replacing

CHUNK = 1 << 18
# Seconds without a byte after which a connection is given up (and tried again).
SILENCE = 30.0


class TransferError(Unfit):
    """An address that did not give the file."""


class Temporary(TransferError):
    """A fault that may be gone at the next attempt."""


class Unreachable(Temporary):
    """No server answers there."""


class DiskError(Exception):
    """The file cannot be written; another address would not help."""


class _Partial:
    """What has been received of a file, on the disk, and its digest so far."""

    def __init__(self, path: Path, expected: Digests):
        self.path, self.expected = path, expected
        self.note = path.with_name(f"{path.name}.version")
        self.hashing = Hashing(expected)
        # Without a digest nothing would tell a mixture of two versions of the file from one.
        self.known = bool(expected.sha256 or expected.md5)
        self.resumed = path.exists() and (self.known or self.version is not None)
        if self.resumed:
            self.hashing.read(path)
        else:
            self.restart()

    @property
    def bytes(self) -> int:
        """Bytes received."""
        return self.hashing.bytes

    @property
    def version(self) -> tuple[str, str] | None:
        """(address, validator) of what has been received, if its server named a version."""
        try:
            address, validator = json.loads(self.note.read_text(encoding="utf-8"))
            return address, validator
        except (OSError, ValueError):
            return None

    def begins(self, response: requests.Response, address: str) -> None:
        """Note which version of the file begins to come."""
        validator = response.headers.get("ETag", "")
        if validator.startswith("W/") or not validator:  # a weak one may stand for other bytes
            validator = response.headers.get("Last-Modified", "")
        if validator:
            with replacing(self.note, "w", encoding="utf-8") as file:
                json.dump([address, validator], file)

    def may_go_on(self, address: str) -> bool:
        """Whether the rest of the file may be asked for at this address."""
        return self.known or (self.version is not None and self.version[0] == address)

    def finish(self, target: Path) -> None:
        """Give the file its name, once it is on the disk, whatever becomes of the power."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self.note.unlink(missing_ok=True)

    def restart(self) -> None:
        """Begin again with nothing."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.hashing = Hashing(self.expected)
        self.resumed = False

    def append(self, file, block: bytes) -> None:
        """Write the next bytes; hashed on the way, so that the file need not be read again."""
        file.write(block)
        self.hashing.update(block)


class Stopped(Exception):
    """The user has had enough."""


class _Secure(requests.Session):
    """A session that never goes from https to http, at whichever hop."""

    def get_redirect_target(self, response):
        """The next address, if it may be gone to."""
        target = super().get_redirect_target(response)
        if target:
            following = urljoin(response.url, target)
            if response.url.startswith("https:") and not following.startswith("https:"):
                raise TransferError(f"it redirects from https to {following}, which is not secure")
        return target


def _session() -> requests.Session:
    session = _Secure()
    session.headers["Accept-Encoding"] = "identity"
    session.max_redirects = 5
    return session


def download(
    address: str,
    target: Path,
    expected: Digests,
    *,
    limit: float,
    attempts: int = 5,
    stop: threading.Event | None = None,
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
    stop : threading.Event, optional
        Ends the transfer when it is set; what has been received stays.
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
    Stopped
        If `stop` was set.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + limit
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = _Partial(target.with_name(f".{target.name}.partial"), expected)
        while True:
            _attempts(address, partial, deadline, attempts, stop, progress)
            try:
                sha256 = partial.hashing.verdict()
                break
            except Unfit:
                resumed = partial.resumed
                partial.restart()
                if not resumed:  # else the wrong bytes may be those that were there before
                    raise
        partial.finish(target)
        return sha256
    except requests.RequestException as error:
        raise TransferError(_words(error)) from None
    except OSError as error:
        raise DiskError(f"{target}: {refusal(error)}") from None


def _attempts(address, partial, deadline, attempts, stop, progress) -> None:
    """Receive the whole file, going on after faults that may pass."""
    left = deadline - time.monotonic()
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Temporary),
        wait=tenacity.wait_exponential_jitter(initial=0.5, max=20),
        stop=tenacity.stop_after_attempt(attempts)
        | tenacity.stop_before_delay(left)
        | tenacity.stop_when_event_set(stop),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    ):
        with attempt, _session() as session:
            _receive(session, address, partial, deadline, stop, progress)


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


def _receive(session, address, partial, deadline, stop, progress) -> None:
    """One attempt: append to the partial file until the server says that is all."""
    if partial.expected.bytes is not None and partial.bytes >= partial.expected.bytes:
        if partial.bytes == partial.expected.bytes:
            return
        partial.restart()
    if partial.bytes and not partial.may_go_on(address):
        partial.restart()
    have = partial.bytes
    left = deadline - time.monotonic()
    if left <= 0:
        raise TransferError("the time limit is over")
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and partial.version is not None and partial.version[0] == address:
        headers["If-Range"] = partial.version[1]  # the whole file again, if it is another now
    try:
        response = session.get(
            address, headers=headers, stream=True, timeout=(min(10.0, left), min(SILENCE, left))
        )
    except TransferError:
        raise
    except requests.TooManyRedirects as error:
        raise TransferError(_words(error)) from None
    except requests.ConnectionError as error:
        broke = "Connection aborted" in str(error) or "reset" in str(error)
        raise (Temporary if broke else Unreachable)(_words(error)) from None
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
            partial.begins(response, address)
        _write(response, partial, deadline, stop, progress)


def _goes_on(response: requests.Response, have: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _write(response, partial, deadline, stop, progress) -> None:
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
            if stop.is_set():
                raise Stopped
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
