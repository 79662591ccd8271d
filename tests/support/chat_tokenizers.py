"""Small tokenizers in the styles of the common model families, each with its control tokens and a chat template."""

import json
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from alpha_umi.formats.shared import SharedFormat
from support.tiny_models import TEXT, tiny_tokenizer

WORDS = [f"{TEXT} system user assistant [INST] Observation: Next: caller. Action Input: <s> </s> <<SYS>> <|end|>"] * 6
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
NAMED = {"bos_token": BEGIN, "eos_token": END, "unk_token": UNKNOWN}
CHATML = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for call in m.tool_calls or [] %}{{ call.function.name }} {{ call.function.arguments | tojson }}{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{# <tool_response> #}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ bos_token }}[INST] <<SYS>>\n{{ m.content }}\n<</SYS>>\n\n"
    "{% elif m.role == 'user' %}{{ m.content | trim }} [/INST]{% else %} {{ m.content.strip() }} {{ eos_token }}"
    "{{ bos_token }}[INST] {% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
    "{% else %}[INST]{{ m.content }}[/INST]{% endif %}{% endfor %}"
)
OURS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | tojson }}<|end|>{% endfor %}"


def byte_level(special, template, *, ignore_merges=False, bos=None, eos=None, plain=()):
    """Byte-level BPE whose pre-tokenizer looks across blanks, as GPT-2's and Qwen's do."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    split = Regex(r"'s|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return finished(tokenizer, special, template, bos=bos, eos=eos, plain=plain)


def sentencepiece(special, template, *, legacy):
    """BPE that writes a blank as ▁: before every part of a text (`legacy`, Llama 2), or at its start alone."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=UNKNOWN))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    return finished(tokenizer, special, template, bos=BEGIN, eos=END, first=["<unk>", *bytes_])


def unigram():
    """Unigram whose vocabulary holds the control tokens themselves, at no cost: plain text could become one."""
    letters = sorted({*"".join(WORDS), *"<>/|[]▁"})
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((sign, -5.0) for sign in letters)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **NAMED)
    fast.add_special_tokens({"extra_special_tokens": list(SharedFormat().special_tokens)})
    fast.chat_template = MISTRAL
    return fast


def lower_case():
    """A tokenizer that looks for its control tokens in lower case and compatibility form."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokens = [AddedToken(text, special=True, normalized=True) for text in ("<|im_start|>", "<|im_end|>", "</s>")]
    return finished(tokenizer, tokens, CHATML, eos="</s>")


def finished(tokenizer, special, template, *, bos=None, eos=None, first=(), plain=()):
    trainer = trainers.BpeTrainer(
        vocab_size=420 + len(first),
        special_tokens=[*first, *[name for name in (bos, eos) if name and name not in map(str, special)]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    document = json.loads(tokenizer.to_str())  # the trainer made control tokens of the bytes
    document["added_tokens"] = [each for each in document["added_tokens"] if each["content"] not in first[1:]]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    named = {"bos_token": bos, "eos_token": eos}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{key: text for key, text in named.items() if text})
    fast.add_special_tokens({"extra_special_tokens": [*special, *SharedFormat().special_tokens]})
    fast.add_tokens(list(plain))
    fast.chat_template = template
    return fast


def slow():
    tokenizer = ByT5Tokenizer()
    tokenizer.add_special_tokens(
        {"extra_special_tokens": ["<|im_start|>", "<|im_end|>", *SharedFormat().special_tokens]}
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def ours():
    tokenizer = tiny_tokenizer(SharedFormat().special_tokens, end="<|end|>")
    tokenizer.chat_template = OURS
    return tokenizer


_MADE = {
    "chatml": lambda: byte_level(
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        CHATML,
        eos="<|im_end|>",
        plain=["<tool_response>", "<|fim_prefix|>", "  ", "</td>"],
    ),
    "llama2": lambda: sentencepiece([], LLAMA2, legacy=True),
    "llama3": lambda: byte_level(
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        LLAMA3,
        ignore_merges=True,
        bos="<|begin_of_text|>",
        eos="<|eot_id|>",
    ),
    "mistral": lambda: sentencepiece(["[INST]", "[/INST]"], MISTRAL, legacy=False),
    "ours": ours,
    "unigram": unigram,
    "lower case": lower_case,
    "slow": slow,
}
STYLES = tuple(_MADE)


@cache
def tokenizer_of(style):
    return _MADE[style]()
