#!/usr/bin/env bash
# httpx 0.28.1 decodes zstd replies by the package zstandard; httpx2 2.16.2 before Python 3.14 only by backports.zstd.
# Guessed: after the move from httpx to httpx2 the same installation reads the same replies.
# Seen:    httpx2 with zstandard installed hands out the compressed bytes as the body, without an error or a warning.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet httpx==0.28.1 httpx2==2.16.2 zstandard==0.25.0
cd "$folder"
PYTHONPATH='' venv/bin/python -W error - <<'PY'
import sys

import httpx
import httpx2
import zstandard

packed = zstandard.compress(b"hello")
bodies = {
    library: library.Response(200, headers={"content-encoding": "zstd"}, content=packed).content
    for library in (httpx, httpx2)
}
print(f"Python {sys.version_info.major}.{sys.version_info.minor}, zstandard {zstandard.__version__}")
for library, body in bodies.items():
    print(f"  {library.__name__} {library.__version__}: {body!r}")
assert bodies[httpx] == b"hello" and bodies[httpx2] == packed, "this has changed"
PY
