"""A real HTTP server on loopback whose faults are chosen by path."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """`/<fault>/<anything>` serves `server.content` with that fault; `/<anything>` without."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keep quiet."""

    def do_GET(self):
        """Serve the file, or what the fault says."""
        server, fault = self.server, self.path.split("/")[1]
        body = server.content
        with server.guard:
            server.requests.append((self.path, self.headers.get("Range")))
            seen = server.count[fault] = server.count.get(fault, 0) + 1
        if fault == "404":
            return self.send_error(404)
        if fault == "500-then-good" and seen <= 2:
            return self.send_error(500)
        if fault == "down":
            return self.send_error(503)
        if fault == "wrong":
            body = bytes(b ^ 255 for b in body[:100]) + body[100:]
        if fault == "longer":
            body += b"more"
        if fault == "redirect":
            return self.moved(f"http://127.0.0.1:{server.server_port}/plain/file")
        if fault == "circle":
            return self.moved(f"http://127.0.0.1:{server.server_port}/circle/file")
        if fault == "gzip":
            return self.packed(gzip.compress(body))
        if fault == "gzip-part" and not self.headers.get("Range"):
            return self.packed(gzip.compress(body))
        if fault == "called-gzip":  # the file itself, labelled as packed
            return self.packed(body)
        if fault == "login":
            return self.send(200, b"<!doctype html><html>please log in</html>")
        if fault == "hop":  # https -> http by way of an http address that led here
            return self.moved(server.onward)
        version = "one"
        if fault == "two-versions" and seen > 1:
            version, body = "two", bytes(b ^ 255 for b in body)
        if fault == "empty":
            return self.send(200, b"")
        begin = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        ranges = fault not in ("no-ranges", "reset-no-ranges")
        if asked and ranges:
            begin = int(asked[1])
            if begin >= len(body):
                return self.send_error(416)
        if fault == "other-range" and begin:
            begin = max(0, begin - 7)
        if fault == "two-versions" and self.headers.get("If-Range") != f'"{version}"':
            begin, ranges = 0, False
        part = body[begin:]
        self.send_response(206 if asked and ranges else 200)
        if fault == "two-versions":
            self.send_header("ETag", f'"{version}"')
        self.send_header("Content-Length", str(len(part)))
        if fault == "gzip-part":
            self.send_header("Content-Encoding", "gzip")
        if asked and ranges:
            last = len(body) - 1
            self.send_header("Content-Range", f"bytes {begin}-{last}/{len(body)}")
        self.end_headers()
        broken = fault.startswith("reset") and seen <= 3
        if fault == "truncated" or broken or (fault == "two-versions" and seen == 1):
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.close() if fault == "truncated" else self.reset()
        if fault == "stalls":
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            server.over.wait(60)
            return None
        if fault == "drips":
            with contextlib.suppress(OSError):
                for k in range(len(part)):
                    self.wfile.write(part[k : k + 1])
                    self.wfile.flush()
                    if server.over.wait(0.05):
                        break
            return None
        if fault == "slow":
            with contextlib.suppress(OSError):
                for k in range(0, len(part), 4096):
                    self.wfile.write(part[k : k + 4096])
                    self.wfile.flush()
                    time.sleep(0.004)
            return None
        with contextlib.suppress(OSError):
            self.wfile.write(part)
        return None

    def reset(self):
        """Break the connection the rude way."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def moved(self, where):
        """A redirect."""
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def packed(self, body):
        """A whole body that is said to be packed."""
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send(self, status, body):
        """A whole body."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """The server and what it was asked for."""

    daemon_threads = True

    def __init__(self, content: bytes, tls: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.content, self.requests, self.count = content, [], {}
        self.onward = ""
        self.guard, self.over = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def address(self, fault: str, name: str = "file") -> str:
        """Where the content is served with a fault."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}/{fault}/{name}"

    def stop(self):
        """End it, and whatever it still serves."""
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """Connections that the tests break are no news."""
