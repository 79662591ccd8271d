#!/usr/bin/env bash
# transformers 5.24.0 renamed a model's `past_key_values` to `cache`. Passing it by the old name is a FutureWarning, reading it from
# the output by the old name is a line of the log, once per process.
# Guessed: a test run with warnings as errors (python -W error) finds every use of the old name.
# Seen:    it finds the calls; reading `output.past_key_values` or `output["past_key_values"]` passes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0
"$folder/venv/bin/pip" install --quiet transformers==5.24.0
cd "$folder"
PYTHONPATH='' venv/bin/python -W error - <<'PY'
import transformers
from transformers import GPT2Config, GPT2LMHeadModel
import torch

shape = GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=1, n_positions=16, bos_token_id=1, eos_token_id=2)
model, ids = GPT2LMHeadModel(shape).eval(), torch.tensor([[3, 4, 5]])
first = model(input_ids=ids, use_cache=True)
try:
    model(input_ids=ids, past_key_values=first.cache)
    passed = "passes"
except FutureWarning as warning:
    passed = f"FutureWarning: {warning}"
try:
    same = first.past_key_values is first.cache and first["past_key_values"] is first.cache
    read = "passes" if same else "gives another cache"
except Warning as warning:
    read = f"{type(warning).__name__}: {warning}"
print(f"transformers {transformers.__version__}, warnings as errors")
print(f"  model(past_key_values=...)  {passed}")
print(f"  output.past_key_values      {read}")
assert passed.startswith("FutureWarning") and read == "passes", "this has changed"
PY
