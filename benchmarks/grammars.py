"""What holding completions to a grammar costs, and whether it leaves room for what references say.

    python benchmarks/grammars.py out_of_domain.json

Prints, for the steps of a file of trajectories or processed dialogues: how many valid reference calls and how many
reference plans each format's grammar accepts, how many invalid calls it refuses, what a grammar costs to write, to
compile and to copy, what a mask costs, and how many tokens of the reference calls need no model at all.
"""

import sys
import time
from pathlib import Path
from statistics import median

import torch

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.errors import ModelError
from alpha_umi.evaluation.runner import scored_steps
from alpha_umi.formats.load import builtin
from alpha_umi.jobs.predict import unconstrained_arguments
from alpha_umi.models.constrained import GrammarCompiler
from alpha_umi.preparation.reading import read_any
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Call, Role

VOCABULARY = 8000


def main():
    steps = list(scored_steps(read_any(Path(sys.argv[1]))))
    texts = [builtin("shared").write(Role.BACKBONE, step.reference) for step in steps]
    form = builtin("shared")
    tokenizer = learn_tokenizer(texts, vocab_size=VOCABULARY, special_tokens=form.special_tokens, end=form.end)
    constrained = GrammarCompiler(tokenizer, vocabulary=len(tokenizer), ends=[tokenizer.eos_token_id])
    notes = unconstrained_arguments(step.task for step in steps)
    print(f"{len(steps)} steps, {len(tokenizer)} tokens, {len(notes)} notes on types")
    for name in ("shared", "chat"):
        report(name, steps, tokenizer, constrained)


def report(name, steps, tokenizer, constrained):
    form, counts, costs = builtin(name), {}, {"write": [], "compile": [], "copy": [], "mask": []}
    forced = written = 0
    for step in steps:
        plan, *said = step.reference
        count(counts, "plans", follow(form, Role.PLANNER, step, [plan], tokenizer, constrained, costs) is not None)
        if said and isinstance(said[0], Call):
            tool = next((tool for tool in step.task.tools if tool.name == said[0].name), None)
            fault = tool is None or isinstance(read_arguments(tool, said[0].arguments), Fault)
            done = follow(form, Role.CALLER, step, said, tokenizer, constrained, costs)
            count(counts, "invalid calls" if fault else "valid calls", done is not None)
            forced, written = forced + (done or (0, 0))[0], written + (done or (0, 0))[1]
    print(f"\n{name}")
    for what, (accepted, seen) in sorted(counts.items()):
        print(f"  {what}: {accepted} of {seen} accepted")
    for what, seconds in costs.items():
        print(f"  {what}: median {1e6 * median(seconds):.0f} us, longest {1e6 * max(seconds):.0f} us")
    print(f"  forced: {forced} of {written} tokens of the callers' completions ({forced / written:.0%})")


def count(counts, what, accepted):
    good, seen = counts.get(what, (0, 0))
    counts[what] = good + accepted, seen + 1


def follow(form, role, step, turns, tokenizer, constrained, costs):
    """Forced and all tokens of a completion; None where the grammar does not accept it."""
    grammar = timed(costs["write"], lambda: form.grammar(role, step.task))
    timed(costs["compile"], lambda: constrained.compile(f"{grammar}\n// {step.key} {role}"))
    timed(costs["copy"], lambda: constrained.compile(f"{grammar}\n// {step.key} {role}"))
    state = constrained.compile(f"{grammar}\n// {step.key} {role}")
    ids = [*tokenizer.encode(form.write(role, turns), add_special_tokens=False), tokenizer.eos_token_id]
    forced, row = 0, torch.zeros(len(tokenizer))
    for token in ids:
        forced += bool(state.forced())
        row.zero_()
        timed(costs["mask"], lambda: state.mask(row))
        try:
            state.accept(token)
        except ModelError:
            return None
    return forced, len(ids)


def timed(seconds, work):
    begin = time.perf_counter()
    done = work()
    seconds.append(time.perf_counter() - begin)
    return done


if __name__ == "__main__":
    main()
