"""Special tokens of a format in a model that lacks them."""

import pytest
import torch

from alpha_umi.models.format_tokens import hold_tokens
from support.tiny_models import tiny_llama, tiny_tokenizer

TOKENS = ["<|role|>", "<|new|>", "<|newer|>", "<|give_up|>", "<|stop|>"]


def extended(*, tied=True):
    tokenizer = tiny_tokenizer()
    model = tiny_llama(len(tokenizer))
    model.config.tie_word_embeddings = tied
    if tied:
        model.tie_weights()
    before = model.get_input_embeddings().weight.detach().clone()
    return model, tokenizer, before, hold_tokens(model, tokenizer, TOKENS, "<|stop|>")


@pytest.mark.parametrize("tied", [True, False])
def test_new_special_tokens_are_single_ones_and_the_others_stay_as_they_were(tied):
    model, tokenizer, before, added = extended(tied=tied)
    after = model.get_input_embeddings().weight
    assert added == len(tokenizer) - len(before) == len(after) - len(before) == 4
    torch.testing.assert_close(after[:-added], before)
    assert [len(tokenizer.encode(token, add_special_tokens=False)) for token in TOKENS] == [1] * len(TOKENS)


def test_new_embeddings_differ_and_have_the_usual_size():
    model, _, before, added = extended()
    new = model.get_input_embeddings().weight[-added:]
    assert torch.cdist(new, new).add(torch.eye(added)).min() > 0.01
    torch.testing.assert_close(new.norm(dim=1), before.norm(dim=1).mean().expand(added))


def test_new_embeddings_lie_near_the_words_of_their_name():
    model, tokenizer, before, added = extended()
    new = model.get_input_embeddings().weight[-added:]
    pieces = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in ("new", "newer", "give up", "stop")]
    words = torch.stack([before[ids].mean(dim=0) for ids in pieces])
    own = torch.nn.functional.cosine_similarity(new, words)
    assert own.min() > 0.5


def test_the_tokens_are_the_same_every_time():
    torch.testing.assert_close(extended()[0].get_input_embeddings().weight, extended()[0].get_input_embeddings().weight)
