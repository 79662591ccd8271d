#!/usr/bin/env bash
# torch 2.13.0: whether building a module on the meta device is free depends on how its weights would be initialised.
# Guessed: nothing is computed on "meta", so any module is built there at once, and torch.nn.utils.skip_init is the lightest way.
# Seen:    nn.Linear (uniform_) imports nothing more; nn.Embedding (normal_), and an addition, import torch._dynamo and with it sympy,
#          over a second of processor time before the first weight is read; skip_init imports sympy even for a Linear.
#          A program that starts by an empty model on "meta" to fill in weights from a file pays more than it saves for a small one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy
cd "$folder"
cat >show.py <<'PY'
import sys

import torch
from torch import nn

BUILD = {
    "Linear(device=meta)": lambda: nn.Linear(2, 2, device="meta"),
    "Embedding(device=meta)": lambda: nn.Embedding(2, 2, device="meta"),
    "empty(device=meta) + 1": lambda: torch.empty(2, device="meta") + 1,
    "skip_init(Linear)": lambda: nn.utils.skip_init(nn.Linear, 2, 2),
    "Embedding on the CPU": lambda: nn.Embedding(2, 2),
}
before = {name for name in ("torch._dynamo", "sympy") if name in sys.modules}
BUILD[sys.argv[1]]()
imported = [name for name in ("torch._dynamo", "sympy") if name in sys.modules and name not in before]
print(f"{sys.argv[1]:23}imports {' and '.join(imported) or 'nothing more'}")
PY
export PYTHONPATH=""
echo "torch 2.13.0, one process for each line"
for how in "Linear(device=meta)" "Embedding(device=meta)" "empty(device=meta) + 1" "skip_init(Linear)" "Embedding on the CPU"; do
    venv/bin/python show.py "$how"
done | tee seen
diff seen - <<'SEEN' || { echo "this has changed"; exit 1; }
Linear(device=meta)    imports nothing more
Embedding(device=meta) imports torch._dynamo and sympy
empty(device=meta) + 1 imports torch._dynamo and sympy
skip_init(Linear)      imports sympy
Embedding on the CPU   imports nothing more
SEEN
