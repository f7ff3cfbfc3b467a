#!/usr/bin/env python3
"""Shows the example plugins at work in a real Envoy, and checks that they do what they should.

Starts an upstream that echoes (echo.py) and an Envoy with envoy/bootstrap/demo.yaml, sends a few
requests, and prints for each what came in, what each plugin did, and what went out. `make demo`
and `make run` call it. Python's standard library is enough.
"""

import argparse
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import echo

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / "envoy/bootstrap/demo.yaml"

# Where README files say that `make run` serves.
USUAL_PORT = 10000

# Seconds. Debug builds compile the plugins slowly on a busy machine.
START, ANSWER, LOG, STOP = 90, 20, 5, 10

# Lines of Envoy's log that a failure shows.
TAIL = 40

# How Envoy's log marks what a plugin says about a request.
SAID = re.compile(r"wasm log default\.([a-z-]+)[^:]*: (.*)")

# Headers that the printed requests and answers do without: they are the same for all.
DULL = re.compile(
    "(accept-encoding|content-type|content-length|date|host|server|transfer-encoding"
    "|x-envoy-.*|x-forwarded-.*|x-request-id): "
)


class Failure(Exception):
    """Something is not as it should be."""


@dataclass
class Case:
    """A request and what becomes of it. Texts are regular expressions for whole lines."""

    title: str
    path: str
    status: int
    plugins: dict
    headers: dict = field(default_factory=dict)
    body: str = ""
    # Lines that the upstream must and must not see; None: the request must not get there.
    upstream: list = None
    upstream_lacks: list = field(default_factory=list)
    # Lines of the answer that the client must and must not see.
    client: list = field(default_factory=list)
    client_lacks: list = field(default_factory=list)


ALICE = {"x-api-key": "alice-key"}
BOB = {"x-api-key": "bob-key"}

CASES = [
    Case(
        "Without a key, nobody gets in",
        path="/orders",
        status=401,
        plugins={"api-key": "refused: missing API key"},
        client=['www-authenticate: ApiKey realm="api"', ".*missing API key.*"],
        client_lacks=["x-request-count: .*"],
    ),
    Case(
        "Nor with a key that does not exist",
        path="/orders",
        headers={"x-api-key": "guess"},
        status=401,
        plugins={"api-key": "refused: unknown API key"},
        client=[".*unknown API key.*"],
    ),
    Case(
        "A key tells who it is, whatever else the client claims",
        path="/orders",
        headers={**BOB, "x-auth-user": "alice", "x-auth-roles": "admin"},
        status=200,
        plugins={
            "api-key": "admitted bob as reader",
            "role-check": "allowed /orders to role reader",
            "request-stats": "request 1 took .* ms",
            "rewrite-body": "replaced 0 in .*",
        },
        upstream=["x-auth-user: bob", "x-auth-roles: reader"],
        upstream_lacks=["x-api-key: .*", ".*(alice|admin).*"],
        client=["x-request-count: 1", r"server-timing: upstream;dur=[0-9.]+"],
    ),
    Case(
        "A path for which bob lacks the role",
        path="/admin/users",
        headers=BOB,
        status=403,
        plugins={
            "api-key": "admitted bob as reader",
            "role-check": "refused /admin/users: needs role admin",
        },
        client=[".*needs role admin.*"],
        client_lacks=["x-request-count: .*"],
    ),
    Case(
        "The same path, with a key that has it",
        path="/admin/users",
        headers=ALICE,
        status=200,
        plugins={
            "api-key": "admitted alice as admin,reader",
            "role-check": "allowed /admin/users to role admin",
            "request-stats": "request 2 took .* ms",
            "rewrite-body": "replaced 0 in .*",
        },
        upstream=["x-auth-user: alice", "x-auth-roles: admin,reader"],
        client=["x-request-count: 2"],
    ),
    Case(
        "An answer that names an internal host",
        path="/notes",
        headers=ALICE,
        body="see http://intranet.example/wiki",
        status=200,
        plugins={
            "api-key": "admitted alice as admin,reader",
            "role-check": "allowed /notes to role reader",
            "request-stats": "request 3 took .* ms",
            "rewrite-body": "replaced 1 in .*",
        },
        upstream=["see http://intranet.example/wiki"],
        client=["transfer-encoding: chunked", "see http://www.example/wiki"],
        client_lacks=[".*intranet.*"],
    ),
    Case(
        "An answer that is no text",
        path="/logo.png?from=intranet.example",
        headers=ALICE,
        status=200,
        plugins={
            "api-key": "admitted alice as admin,reader",
            "role-check": r"allowed /logo.png\?from=intranet.example to role reader",
            "request-stats": "request 4 took .* ms",
            "rewrite-body": "left alone: content-type image/png",
        },
        upstream=[],
        client=["content-length: .*", ".*intranet.example.*"],
    ),
]


class Envoy:
    """A running Envoy; ends with the `with` block."""

    def __init__(self, binary, module_dir, upstream_port, edge_port):
        self.port = edge_port
        self._directory = tempfile.TemporaryDirectory(prefix="wasmplugin-demo-")
        directory = Path(self._directory.name)
        self._log = directory / "log"
        self._admin = directory / "admin"
        bootstrap = BOOTSTRAP.read_text()
        for name, port in {"EDGE": edge_port, "UPSTREAM": upstream_port, "ADMIN": 0}.items():
            bootstrap = bootstrap.replace(f"${{{name}_PORT}}", str(port))
        config = directory / "bootstrap.yaml"
        config.write_text(bootstrap)
        command = [binary, "--config-path", config, "--use-dynamic-base-id", "--concurrency", "2"]
        command += ["--admin-address-path", self._admin]
        command += ["--log-level", "warning", "--component-log-level", "dynamic_modules:info"]
        command += ["--log-format", "%l %n %v"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(module_dir)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def wait_until_ready(self):
        def ready():
            self.check()
            try:
                port = int(self._admin.read_text().rpartition(":")[2])
                return request(port, "/ready").status == 200
            except (OSError, ValueError, http.client.HTTPException):
                return False

        if not wait_for(ready, START):
            raise Failure(f"Envoy is not ready after {START} seconds")

    def check(self):
        status = self._process.poll()
        if status is not None:
            raise Failure(f"Envoy ended with status {status}")

    def wait(self):
        self._process.wait()
        self.check()

    def log(self):
        return self._log.read_text(encoding="utf-8", errors="replace")


@dataclass
class Answer:
    """An answer; headers and body as lines."""

    status: int
    reason: str
    headers: list
    body: list


def request(port, path, headers=None, body=""):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
    try:
        method = "POST" if body else "GET"
        connection.request(method, path, body or None, headers or {})
        response = connection.getresponse()
        lines = [f"{name}: {value}" for name, value in response.getheaders()]
        text = response.read().decode(errors="replace")
        return Answer(response.status, response.reason, lines, text.splitlines())
    finally:
        connection.close()


def wait_for(condition, seconds):
    """Whether `condition` holds within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def run(case, envoy, seen):
    """Sends a request and returns what became of it: answer, log lines, lines at the upstream."""
    log_before, seen_before = len(envoy.log()), len(seen)
    try:
        answer = request(envoy.port, case.path, case.headers, case.body)
    except (OSError, http.client.HTTPException) as error:
        envoy.check()
        raise Failure(f"no answer: {error}") from error

    def said():
        return SAID.findall(envoy.log()[log_before:])

    wait_for(lambda: len(said()) >= len(case.plugins), LOG)
    upstream = [text.splitlines() for text in seen[seen_before:]]
    return answer, said(), upstream


def check(case, answer, said, upstream):
    """Fails if anything is not what the case says."""
    if answer.status != case.status:
        raise Failure(f"status {answer.status} instead of {case.status}")
    if sorted(plugin for plugin, _ in said) != sorted(case.plugins):
        raise Failure(f"plugins that spoke: {said}; expected one line of each of {case.plugins}")
    for plugin, text in said:
        if not re.fullmatch(case.plugins[plugin], text):
            raise Failure(f"{plugin} said {text!r}; expected {case.plugins[plugin]!r}")
    if len(upstream) != (case.upstream is not None):
        raise Failure(f"{len(upstream)} requests reached the upstream")
    for lines in upstream:
        check_lines("the upstream", lines, case.upstream, case.upstream_lacks)
    check_lines("the client", answer.headers + answer.body, case.client, case.client_lacks)


def check_lines(who, lines, wanted, unwanted):
    for pattern in wanted:
        if not any(re.fullmatch(pattern, line) for line in lines):
            raise Failure(f"{who} does not see {pattern!r} in {lines}")
    for pattern in unwanted:
        if any(re.fullmatch(pattern, line) for line in lines):
            raise Failure(f"{who} sees {pattern!r} in {lines}")


def show(number, case, answer, said, upstream):
    method = "POST" if case.body else "GET"
    sent = [f"{method} {case.path} HTTP/1.1"]
    sent += [f"{name}: {value}" for name, value in case.headers.items()]
    print()
    print(bold(f"{number}. {case.title}"))
    show_lines("client sends", [*sent, case.body])
    for plugin, text in said:
        show_lines(plugin, [text], colour=36)
    for lines in upstream:
        show_lines("upstream gets", lines)
    body = ["(the request as the upstream got it)"] if [answer.body] == upstream else answer.body
    got = [f"{answer.status} {answer.reason}", *answer.headers, *body]
    show_lines("client gets", got, colour=32 if answer.status < 400 else 33)


def show_lines(label, lines, colour=None):
    for line in lines:
        if line and not DULL.match(line):
            print(f"   {label:15}{paint(line, colour)}")
            label = ""


def paint(text, colour):
    plain = colour is None or not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[{colour}m{text}\033[0m"


def bold(text):
    return paint(text, 1)


@contextmanager
def running_upstream():
    server = echo.serve()
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def edge_port(keep):
    """A port for clients: the usual one for a person to use, if it is free."""
    for port in [USUAL_PORT, 0] if keep else [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise Failure("no free port")


def demo(envoy, upstream):
    for number, case in enumerate(CASES, 1):
        try:
            outcome = run(case, envoy, upstream.seen)
            show(number, case, *outcome)
            check(case, *outcome)
        except Failure as failure:
            raise Failure(f"request {number}, {case.title!r}: {failure}") from failure
    print()
    print(f"All {len(CASES)} requests went as they should.")


def keep_serving(envoy):
    url = f"http://127.0.0.1:{envoy.port}/"
    print()
    print(f"Serving on {bold(url)} until Ctrl-C. Try:")
    print(f"    curl -i -H 'x-api-key: alice-key' {url}", flush=True)
    envoy.wait()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envoy", required=True, type=Path, help="the Envoy binary")
    parser.add_argument(
        "--module-dir", required=True, type=Path, help="the directory of libwasmplugin.so"
    )
    parser.add_argument("--keep", action="store_true", help="then keep serving until Ctrl-C")
    options = parser.parse_args()
    # Envoy runs in another directory.
    options.envoy = options.envoy.resolve()
    options.module_dir = options.module_dir.resolve()
    for file in [options.envoy, options.module_dir / "libwasmplugin.so"]:
        if not file.is_file():
            parser.error(f"{file} is missing")
    return options


def main():
    options = arguments()
    # As Ctrl-C: everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    envoy = None
    try:
        with running_upstream() as upstream:
            port = edge_port(options.keep)
            with Envoy(options.envoy, options.module_dir, upstream.server_port, port) as envoy:
                try:
                    envoy.wait_until_ready()
                    demo(envoy, upstream)
                    if options.keep:
                        keep_serving(envoy)
                except Failure:
                    log = envoy.log().splitlines()[-TAIL:]
                    print("", "End of Envoy's log:", *log, sep="\n", file=sys.stderr)
                    raise
    except Failure as failure:
        sys.exit(f"\ndemo: {failure}")
    except KeyboardInterrupt:
        sys.exit(0 if options.keep else 130)


if __name__ == "__main__":
    main()
