"""Training of a small tokenizer on given texts, for models trained from scratch.

What tiny models find hard is copying names and values, so a word has the same tokens wherever it stands: a
space, a digit, a mark of punctuation or an underscore is always a token of its own and nothing merges across
it. Below that it is byte-level BPE: `decode(encode(x)) == x` for every text, and equal texts give equal files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from alpha_umi.formats.tokens import well_formed

PAD, BOS, EOS = "<|pad|>", "<|begin|>", "<|eos|>"
_PIECES = Regex(r"[\p{L}\p{M}]+|\s|.")


def learn_tokenizer(
    texts: Iterable[str], *, vocab_size: int, special_tokens: Sequence[str] = (), end: str = ""
) -> PreTrainedTokenizerFast:
    """Train a tokenizer of at most `vocab_size` tokens that holds each of `special_tokens` as one.

    `end` becomes its EOS. Prompts begin with its BOS. Bytes and special tokens are there whatever the texts.
    """
    eos = end or EOS
    special = list(dict.fromkeys([PAD, BOS, eos, *special_tokens]))
    tokenizer = Tokenizer(models.BPE())
    isolate = pre_tokenizers.Split(_PIECES, behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [isolate, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(well_formed, texts), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=eos,
        pad_token=PAD,
        extra_special_tokens=[token for token in special if token not in (PAD, BOS, eos)],
        clean_up_tokenization_spaces=False,
    )
