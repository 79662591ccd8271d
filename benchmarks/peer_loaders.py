"""Read chats that `umi export --to trl|swift` wrote with the loaders of TRL and of ms-swift.

In an environment of the peer alone (`pip install trl`, `pip install ms-swift`), which need not hold this package:

    python benchmarks/peer_loaders.py trl rows.jsonl      # a tiny random model; SFTTrainer's own preparation
    python benchmarks/peer_loaders.py swift rows.jsonl    # ms-swift's loader, then its agent templates hermes and react

Prints the versions and what was read; fails where a row or a call is lost.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path


def called(rows: list[dict]) -> list[str]:
    """Names of all calls of rows, in either shape."""
    names = []
    for row in rows:
        for message in row["messages"]:
            names += [call["function"]["name"] for call in message.get("tool_calls") or ()]
            if message["role"] == "tool_call":
                content = message["content"]
                names.append((json.loads(content) if isinstance(content, str) else content)["name"])
    return names


def read_with_trl(path: Path, rows: list[dict]) -> str:
    from datasets import load_dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
    from trl import SFTConfig, SFTTrainer
    from trl.chat_template_utils import qwen3_chat_template

    letters = pre_tokenizers.ByteLevel.alphabet()
    core = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    from tokenizers import decoders

    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|pad|>")  # noqa: S106
    tokenizer.chat_template = qwen3_chat_template
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=Qwen2ForCausalLM(config),
            args=SFTConfig(output_dir=folder, max_length=None, report_to="none", use_cpu=True, bf16=False),
            train_dataset=load_dataset("json", data_files=str(path), split="train"),
            processing_class=tokenizer,
        )
        texts = [tokenizer.decode(row["input_ids"]) for row in trainer.train_dataset]
    assert len(texts) == len(rows), (len(texts), len(rows))
    for row, text in zip(rows, texts, strict=True):
        for message in row["messages"]:
            for call in message.get("tool_calls") or ():
                written = json.dumps(call["function"]["arguments"], ensure_ascii=False)
                assert f'"name": "{call["function"]["name"]}"' in text, (call, text)
                assert written in text, (written, text)
        for tool in json.loads(row["tools"]):
            assert tool["function"]["name"] in text
    return f"trl {version('trl')}, datasets {version('datasets')}: {len(texts)} rows tokenized"


def read_with_swift(path: Path, rows: list[dict]) -> str:
    from swift.agent_template import agent_template_map
    from swift.dataset import load_dataset

    read, _ = load_dataset([str(path)], num_proc=1)
    assert len(read) == len(rows), (len(read), len(rows))
    assert called(list(read)) == called(rows)
    for name in ("hermes", "react_en"):
        template = agent_template_map[name]()
        for row in rows:
            for message in row["messages"]:
                if message["role"] == "tool_call":
                    call = json.loads(message["content"])
                    written = template._format_tool_calls([message])  # noqa: SLF001
                    assert call["name"] in written
                    assert all(key in written for key in call["arguments"])
    return f"ms-swift {version('ms-swift')}, datasets {version('datasets')}: {len(read)} rows loaded"


def main() -> None:
    peer, path = sys.argv[1], Path(sys.argv[2])
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    done = {"trl": read_with_trl, "swift": read_with_swift}[peer](path, rows)
    print(f"{done}, {len(called(rows))} calls")


if __name__ == "__main__":
    main()
