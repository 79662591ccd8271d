#!/usr/bin/env bash
# torch 2.13.0 on two cores or more (OpenMP): torch.set_num_threads in a worker thread is half that thread's own and half everybody's.
# Guessed: each thread has its own number, as OpenMP says (then a worker may set 1 and nobody else notices), or there is one for all
#          (then the main thread shows it at once).
# Seen:    a main thread that has asked or computed before keeps its number; one that has not, and every later thread, gets the
#          worker's. So a thread pool that sets 1 in its workers while weights are read slows down a whole training: or not, if
#          anybody printed torch.get_num_threads() before, to look for the reason.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy
cd "$folder"
cat >show.py <<'PY'
import sys
from concurrent.futures import ThreadPoolExecutor

import torch

if "asked" in sys.argv:
    assert torch.get_num_threads() == 2
with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
    pool.submit(len, ()).result()
with ThreadPoolExecutor(1) as pool:
    later = pool.submit(torch.get_num_threads).result()
print(f"{sys.argv[1]:9} before: main thread {torch.get_num_threads()}, a later thread {later}")
PY
export PYTHONPATH="" OMP_NUM_THREADS=2
echo "torch 2.13.0, OMP_NUM_THREADS=2, after a worker thread has set 1"
venv/bin/python show.py "not asked" | tee seen
venv/bin/python show.py asked | tee -a seen
diff seen - <<'SEEN' || { echo "this has changed"; exit 1; }
not asked before: main thread 1, a later thread 1
asked     before: main thread 2, a later thread 1
SEEN
