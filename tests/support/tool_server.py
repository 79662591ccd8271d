"""A real HTTP server on loopback whose answers a test decides."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict
    body: str
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class ToolServer:
    """`answer(seen)` gives (status, text) or (status, text, headers); what arrived is kept."""

    url: str
    seen: list = field(default_factory=list)
    under_way: int = 0
    most: int = 0


@contextmanager
def serving(answer):
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self):
            length = int(self.headers.get("Content-Length", 0))
            seen = Seen(self.command, self.path, dict(self.headers), self.rfile.read(length).decode())
            with lock:
                state.seen.append(seen)
                state.under_way += 1
                state.most = max(state.most, state.under_way)
            status, text, *rest = answer(seen)
            with lock:
                state.under_way -= 1
            data = text.encode()
            self.send_response(status)
            for name, value in (rest[0] if rest else {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # the client did not wait

        do_GET = do_POST = do_DELETE = do  # noqa: N815

        def log_message(self, *_):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_):
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    state = ToolServer(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
