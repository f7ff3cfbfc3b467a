#!/usr/bin/env python3
"""An upstream that answers every request with that request, as it arrived.

    examples/echo.py PORT

The answer's type follows the path's extension (`/logo.png` gives image/png), otherwise it is plain
text. Python's standard library is enough.
"""

import mimetypes
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    """One connection. A server that has a list `seen` gets every request as text."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode(errors="replace")
        lines = [self.requestline]
        lines += [f"{name.lower()}: {value}" for name, value in self.headers.items()]
        request = "\n".join([*lines, "", body] if body else lines) + "\n"
        if hasattr(self.server, "seen"):
            self.server.seen.append(request)
        answer = request.encode()
        kind, _ = mimetypes.guess_type(self.path.partition("?")[0])
        self.send_response(200)
        self.send_header("content-type", kind or "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = answer

    def log_message(self, *_):
        """Keeps quiet."""


def serve(port=0):
    """A server on this machine's loopback, on a free port unless told; not yet running."""
    server = ThreadingHTTPServer(("127.0.0.1", port), Echo)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit(__doc__.strip())
    try:
        serve(int(sys.argv[1])).serve_forever()
    except KeyboardInterrupt:
        pass
