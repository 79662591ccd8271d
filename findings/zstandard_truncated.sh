#!/usr/bin/env bash
# zstandard 0.25.0: a file that was cut off is read by zstandard.open as a shorter one, or as an empty one.
# Guessed: as gzip.open, it raises EOFError where the compressed data ends in the middle.
# Seen:    no error at any of the cuts tried; only decompressobj().eof tells that something is missing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet zstandard==0.25.0
cd "$folder"
PYTHONPATH='' venv/bin/python -W error - <<'PY'
import gzip
from pathlib import Path

import zstandard

text = "".join(f"line {number}\n" for number in range(100_000)).encode()


def outcomes(name, pack, unpack):
    whole, seen = pack(text), {}
    for percent in (10, 30, 50, 70, 90):
        Path(name).write_bytes(whole[: len(whole) * percent // 100])
        try:
            with unpack(name, "rb") as file:
                seen[percent] = f"{len(file.read()):,} bytes"
        except EOFError:
            seen[percent] = "EOFError"
    return seen


found = {
    "gzip": outcomes("x.gz", gzip.compress, gzip.open),
    "zstandard": outcomes("x.zst", zstandard.compress, zstandard.open),
}
print(f"zstandard {zstandard.__version__}; {len(text):,} bytes, cut off at so many percent of the compressed file")
for library, seen in found.items():
    print(f"  {library}: {seen}")
assert set(found["gzip"].values()) == {"EOFError"} and "EOFError" not in found["zstandard"].values(), "this has changed"
PY
