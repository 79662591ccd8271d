"""The page on architectures is made of the table that decides, and of configurations of each."""

import pytest

from alpha_umi.models import architectures
from alpha_umi.training import attention
from support.folders import REPOSITORY
from support.tree_models import family_config

PAGE = REPOSITORY / "docs" / "architectures.md"
LENGTH = 4096
INTRODUCTION = """\
Made by `pytest tests/docs/test_architectures.py --update-golden` from `alpha_umi.models.architectures`. Names are
transformers' model types (`model_type` in a model's `config.json`).

*Exact* means, by test, on a small random model each: in the engine, greedy completions equal `generate`'s in float32,
whatever shares the batch and the cache; on prefix trees, gradients equal those of the examples one by one within 1e-5.
Windows and chunks are shorter there than what the examples share. What is not exact is slower and never wrong: the
engine gives way to padded batches, trees to rows, and the log says why.
"""
LIMITS = """\
An architecture may stand in two rows; {count} are exact in both; `granitemoehybrid` is so where all its
layers attend, else on trees alone. Each gives way where its configuration drops attention at random (trees),
attends in both directions, or turns positions by the length of the row (`dynamic` and `longrope`, where texts may be
longer than their first length).

Of the others, these are known not to be computed by the engine and on trees as transformers computes them; the rest
were never compared.
"""
SINKS = ("flint", "gpt_oss", "granite_swa", "granitemoe_swa", "mimo_v2_flash")
TRAITS = {
    "sliding windows": lambda config: "sliding_attention" in kinds_of(config) or one_window(config),
    "capped scores": lambda config: getattr(config, "attn_logit_softcapping", None) is not None,
    "attention sinks": lambda config: (
        config.model_type in ("flint", "gpt_oss", "granite_swa", "granitemoe_swa", "mimo_v2_flash")
    ),
    "keys and values of different sizes": lambda config: getattr(config, "kv_lora_rank", None) is not None,
    "short convolutions": lambda config: "conv" in kinds_of(config),
}


def kinds_of(config):
    return set(getattr(config, "layer_types", None) or ())


def one_window(config):
    return not kinds_of(config) and getattr(config, "sliding_window", None) is not None


def listed(kinds):
    return ", ".join(f"`{kind}`" for kind in kinds)


def page():
    configs = {kind: family_config(kind) for kind in architectures.PROVEN}
    reasons = {
        kind: architectures.unsupported_reason(config, LENGTH, keeps_states=False) for kind, config in configs.items()
    }
    fast = [kind for kind, reason in reasons.items() if reason is None]
    recurrent = [kind for kind, reason in reasons.items() if reason is not None]
    assert all("recurrent" in reasons[kind] for kind in recurrent)
    assert all(attention.unsupported_reason(config, LENGTH) is None for config in configs.values())
    told = {name: [kind for kind in fast if has(configs[kind])] for name, has in TRAITS.items()}
    plain = [kind for kind in fast if not any(kind in kinds for kinds in told.values())]
    return "\n".join([
        "# Architectures",
        "",
        INTRODUCTION,
        "| in the engine | on prefix trees | architectures |",
        "|---|---|---|",
        f"| exact | exact | {listed(plain)} |",
        *(f"| exact | exact | with {name}: {listed(kinds)} |" for name, kinds in told.items()),
        f"| padded batches | exact | recurrent (Mamba 2, gated DeltaNet): {listed(recurrent)} |",
        "| padded batches | rows | all others |",
        "",
        LIMITS.format(count=len(fast)),
        "| architecture | what stands in the way |",
        "|---|---|",
        *(f"| `{kind}` | it {reason} |" for kind, reason in architectures.OTHERS.items()),
        "",
    ])  # fmt: skip


def test_the_page_on_architectures_is_up_to_date(request):
    made = page()
    if request.config.getoption("--update-golden"):
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made, (
        "stale: run pytest tests/docs/test_architectures.py --update-golden"
    )


def test_what_is_known_not_to_suit_is_not_called_proven():
    assert not set(architectures.PROVEN) & set(architectures.OTHERS)
    assert list(architectures.PROVEN) == sorted(set(architectures.PROVEN))


@pytest.mark.parametrize("kind", ["modernbert", "gpt-5", "llama-x"])
def test_an_architecture_of_the_future_is_refused_by_name(kind):
    config = family_config("llama")
    config.model_type = kind
    assert architectures.unsupported_reason(config, LENGTH, keeps_states=False) == (
        f"{kind} was never compared with transformers' own computation"
    )
