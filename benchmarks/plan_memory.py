"""The memory that a plan says a pass takes, against what the operating system saw a real one take (CPU, Linux).

    MALLOC_MMAP_THRESHOLD_=65536 python benchmarks/plan_memory.py

Without that variable the allocator keeps freed memory, and the measurement is too high.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen3Config

from alpha_umi.training.planning.footprint import Pass, pass_bytes

MIB = 2**20
SHAPES: dict[str, PreTrainedConfig] = {
    "llama 10M, 8k words": LlamaConfig(
        hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=8, vocab_size=8192
    ),
    "llama 41M, 32k words": LlamaConfig(
        hidden_size=512, intermediate_size=1536, num_hidden_layers=4, num_attention_heads=8, vocab_size=32000
    ),
    "qwen3 12M, tied": Qwen3Config(
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        vocab_size=32000,
        tie_word_embeddings=True,
    ),
}


def measured(architecture: PreTrainedConfig, work: Pass) -> int:
    """Bytes by which the resident memory of this process rises while a second pass adds to gradients."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(architecture, attn_implementation="sdpa")
    if work.checkpointed:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model.train()
    ids = torch.randint(0, architecture.vocab_size, (1, work.tokens))
    at = torch.randperm(work.tokens)[: work.losses].sort().values
    targets = torch.randint(0, architecture.vocab_size, (work.losses,))
    highest = 0
    for _ in range(2):
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        with torch.autocast("cpu", work.dtype, enabled=work.dtype != work.weights):
            logits = model(input_ids=ids, logits_to_keep=at, use_cache=False).logits[0].float()
            loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        loss.backward()
        highest = status("VmHWM") - before
        del logits, loss
    return highest


def status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def main() -> None:
    torch.set_num_threads(2)
    print(f"{'model':22}{'pass':34}{'planned':>9}{'measured':>10}{'error':>8}")
    for name, architecture in SHAPES.items():
        for checkpointed in (False, True):
            for dtype in (torch.float32, torch.bfloat16):
                work = Pass(tokens=1024, losses=300, dtype=dtype, checkpointed=checkpointed)
                planned = pass_bytes(architecture, work, architecture.num_hidden_layers)
                real = measured(architecture, work)
                said = f"{str(dtype).removeprefix('torch.')}{', checkpointed' if checkpointed else ''}"
                print(f"{name:22}{said:34}{planned / MIB:9.0f}{real / MIB:10.0f}{planned / real - 1:8.1%}", flush=True)


if __name__ == "__main__":
    main()
