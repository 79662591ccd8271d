"""The memory that a plan says a pass takes, against what the operating system saw a real one take (CPU, Linux).

    MALLOC_MMAP_THRESHOLD_=65536 python benchmarks/plan_memory.py [--only smollm2] [--tokens 1024] [--threads 2]

Without that variable the allocator keeps freed memory, and the measurement is too high. SmolLM2 with a LoRA of rank 16
on all linear layers is trained as `umi train` does, on one tree without branches; the other shapes learn all weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen3Config

from alpha_umi.training.planning.footprint import Pass, pass_bytes

MIB = 2**20
SMOLLM2, SMOLLM2_LORA = "smollm2-135m", "smollm2-135m, LoRA"
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
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


def measured_lora(work: Pass) -> int:
    """As `measured`, of a LoRA on SmolLM2, computed by this package's own losses."""
    from alpha_umi.loading.pretrained import find_model
    from alpha_umi.models.adapters import AdapterSettings, attach
    from alpha_umi.models.checkpoint import load_weights
    from alpha_umi.training.data.packing import WeightedExample, pack_prefix_trees
    from alpha_umi.training.losses import LossComputer
    from alpha_umi.training.start import cast_frozen
    from alpha_umi.types import Role

    model = load_weights(find_model(SMOLLM2), torch.float32).train()
    attach(model, AdapterSettings(rank=work.rank, targets=tuple(work.targets)), [Role.PLANNER])
    cast_frozen(model, work.weights)
    if work.checkpointed:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    ids = torch.randint(0, 40_000, (work.tokens,), generator=torch.Generator().manual_seed(0)).tolist()
    weights = [0.0] * (work.tokens - work.losses) + [1.0] * work.losses
    packed = pack_prefix_trees([WeightedExample(ids=ids, weights=weights, adapters=[1] * work.tokens)], work.tokens)[0]
    computer, highest = LossComputer(model, max_length=work.tokens), 0
    for _ in range(2):
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        low = work.dtype != torch.float32
        with computer.installed(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            computer.loss(packed).backward()
        highest = status("VmHWM") - before
    return highest


def status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names of the models")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'model':26}{'pass':34}{'planned':>9}{'measured':>10}{'error':>8}")
    for name in (name for name in (*SHAPES, SMOLLM2_LORA) if options.only in name):
        for checkpointed in (False, True):
            for dtype in (torch.float32, torch.bfloat16):
                told = {"tokens": options.tokens, "losses": 300, "dtype": dtype, "checkpointed": checkpointed}
                compare(name, told)


def compare(name: str, told: dict[str, Any]) -> None:
    if name == SMOLLM2_LORA:
        from alpha_umi.loading.pretrained import find_model
        from alpha_umi.models.checkpoint import load_config

        work = Pass(**told, weights=told["dtype"], rank=16, targets=LAYERS)
        architecture, real = load_config(find_model(SMOLLM2)), measured_lora(work)
    else:
        work, architecture = Pass(**told), SHAPES[name]
        real = measured(architecture, work)
    planned = pass_bytes(architecture, work, architecture.num_hidden_layers)
    said = f"{str(work.dtype).removeprefix('torch.')}{', checkpointed' if work.checkpointed else ''}"
    print(f"{name:26}{said:34}{planned / MIB:9.0f}{real / MIB:10.0f}{planned / real - 1:8.1%}", flush=True)


if __name__ == "__main__":
    main()
