"""A Hugging Face Hub on this machine that takes repositories and commits and keeps their files in memory."""

import base64
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    url: str = ""
    refuses: bool = False
    created: list = field(default_factory=list)
    files: dict = field(default_factory=dict)


@contextmanager
def fake_hub(*, refuses=False):
    hub = Hub(refuses=refuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if hub.refuses:
                self._reply({"error": "no right to do this"}, 403)
            elif self.path == "/api/repos/create":
                hub.created.append(json.loads(body))
                name = json.loads(body)
                identity = "/".join(part for part in (name.get("organization"), name["name"]) if part)
                self._reply({"url": f"{hub.url}/{identity}", "id": identity})
            elif "/preupload/" in self.path:
                files = json.loads(body)["files"]
                self._reply(
                    {
                        "files": [
                            {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files
                        ]
                    }
                )
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self._reply({"commitUrl": f"{hub.url}/o/n/commit/1", "commitOid": "1" * 40, "success": True})
            else:
                self._reply({}, 200)

        def do_GET(self):
            self._reply({"sha": "0" * 40, "siblings": [], "id": "o/n"})

        def _reply(self, document, code=200):
            body = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
