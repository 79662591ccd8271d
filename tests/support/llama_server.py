"""llama.cpp's server of the package xllamacpp, in a process of its own."""

import contextlib
import json
import subprocess
import sys

import httpx2

SERVE = """
import json, sys
import xllamacpp
told = json.loads(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path = told["model"]
params.hostnames, params.port, params.warmup, params.special = ["127.0.0.1"], 0, False, told["special"]
params.n_ctx, params.n_parallel = told["context"] * told["slots"], told["slots"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
params.verbosity, params.use_jinja = -1, True
params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in told["adapters"]]
params.lora_init_without_apply = True
if told["exact"]:
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class LlamaServer:
    """A running server and its address."""

    def __init__(self, url, pid):
        self.url, self.pid = url, pid
        self.client = httpx2.Client(base_url=url, timeout=120)

    def post(self, path, **fields):
        reply = self.client.post(path, json=fields)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def tokens(self, text, *, special=True):
        return self.post("/tokenize", content=text, add_special=False, parse_special=special)["tokens"]

    def logprobs(self, ids, vocabulary, **fields):
        """Log-probabilities of the token after `ids`, by token id; a letter is written, since half a one has none."""
        letter = [[self.tokens("a")[0], 1000.0]]
        reply = self.post("/completion", prompt=ids, n_predict=1, n_probs=vocabulary, logit_bias=letter, **fields)
        found = reply["completion_probabilities"][0]["top_logprobs"]
        return {each["id"]: each["logprob"] for each in found}


@contextlib.contextmanager
def llama_server(model, adapters=(), *, context=512, slots=1, threads=1, exact=False, special=True):
    """Serve a GGUF file with adapters at scale 0.

    `exact`: float32 keys and values, plain attention. `special`: special tokens are shown as text.
    """
    told = {
        "model": str(model), "adapters": [str(path) for path in adapters], "context": context, "slots": slots,
        "threads": threads, "exact": exact, "special": special,
    }  # fmt: skip
    command = [sys.executable, "-c", SERVE, json.dumps(told)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            lines = iter(process.stdout.readline, "")
            server = LlamaServer(next(line.strip() for line in lines if line.startswith("http")), process.pid)
            with server.client:
                yield server
        finally:
            process.stdin.close()
            process.terminate()
