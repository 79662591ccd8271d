"""Summaries and example commands in the help of every verb: one line, and two commands to copy."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from typer.models import CommandInfo

EXAMPLES: dict[str, tuple[str, str, str]] = {
    "train": (
        "Train backbone, planner, caller, summarizer.",
        "umi train tiny --set out=runs/mine",
        "umi train tiny --plan",
    ),
    "pretrain": ("Train a small base model on texts.", "umi pretrain base-tiny", "umi pretrain base-tiny --resume"),
    "predict": (
        "Predict every scored step of a data file.",
        "umi predict --agent runs/mine --data test.jsonl --out predictions.json",
        "umi predict --agent umi-tiny --data test.jsonl --out predictions.json --limit 20 --json",
    ),
    "ask": (
        "Answer one query with tools.",
        'umi ask "How many people live in Graz?" --tools tools.py',
        "umi ask --world-task G1_tool:7 --json",
    ),
    "chat": (
        "Talk with an agent that uses tools.",
        "umi chat --tools tools.py",
        "umi chat --tools tools.py --base-url http://localhost:8000/v1 --model qwen3 --out talk.jsonl",
    ),
    "serve": (
        "Serve an agent to OpenAI's clients.",
        "umi serve",
        "umi serve --agent runs/mine --tools tools.py --host 0.0.0.0 --api-key-env UMI_KEY",
    ),
    "mcp": (
        "Serve an agent, tools, or retrieval to MCP clients.",
        "umi mcp --agent runs/mine --tools tools.py",
        "umi mcp --offer tools --world small --http --port 8000",
    ),
    "rollout": (
        "Explore query sets with an agent.",
        "umi rollout --queries tasks.jsonl --out runs/chain --env world --agent umi-tiny",
        "umi rollout --queries tasks.jsonl --out runs/tree --env world --agent runs/mine --strategy dfsdt --json",
    ),
    "study": ("Train and compare variants.", "umi study quick", "umi study quick --report"),
    "report": (
        "Write rollouts as one HTML page.",
        "umi report runs/chain --out chain.html",
        "umi report runs/chain --out chain.html --shown 20",
    ),
    "retrieve": (
        "Find the APIs that fit a query.",
        'umi retrieve "weather in Graz" --tools tools',
        'umi retrieve "weather in Graz" --index saved --k 10 --json',
    ),
    "demo": ("Show the bundled agent at work.", "umi demo", "umi demo --agent runs/mine"),
    "prepare toolbench": (
        "Raw ToolBench answers to trajectories.",
        "umi prepare toolbench --answers data/answer --out train.jsonl",
        "umi prepare toolbench --answers data/answer --out train.jsonl --test-ids data/test_query_ids",
    ),
    "prepare processed": (
        "Processed dialogues to trajectories.",
        "umi prepare processed stage2.json --out train.jsonl",
        "umi prepare processed one.json two.json --out train.jsonl --limit 100",
    ),
    "prepare auto": (
        "Tell a public data set's shape and read it.",
        "umi prepare auto data.jsonl --out train.jsonl",
        "umi prepare auto one.json two.jsonl --out train.jsonl --strict",
    ),
    "prepare openai": (
        "OpenAI's messages to trajectories.",
        "umi prepare openai data.json --out train.jsonl",
        "umi prepare openai one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare sharegpt": (
        "ShareGPT chats to trajectories.",
        "umi prepare sharegpt data.json --out train.jsonl",
        "umi prepare sharegpt one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare swift": (
        "ms-swift's messages to trajectories.",
        "umi prepare swift data.json --out train.jsonl",
        "umi prepare swift one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare hermes": (
        "Chats with <tool_call> tags to trajectories.",
        "umi prepare hermes data.json --out train.jsonl",
        "umi prepare hermes one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare toolllama": (
        "ToolLLaMA's steps to trajectories.",
        "umi prepare toolllama data.json --out train.jsonl",
        "umi prepare toolllama one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare toolace": (
        "ToolACE's chats to trajectories.",
        "umi prepare toolace data.json --out train.jsonl",
        "umi prepare toolace one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare xlam": (
        "xLAM's calls to trajectories.",
        "umi prepare xlam data.json --out train.jsonl",
        "umi prepare xlam one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare toolalpaca": (
        "ToolAlpaca's APIs to trajectories.",
        "umi prepare toolalpaca data.json --out train.jsonl",
        "umi prepare toolalpaca one.jsonl two.jsonl --out train.jsonl --limit 100",
    ),
    "prepare custom": (
        "Files of any shape to trajectories.",
        "umi prepare custom notes.csv --reader mine:read --out train.jsonl",
        "umi prepare custom notes.csv --reader mine:read --out train.jsonl --limit 100",
    ),
    "prepare rollouts": (
        "Verified rollouts to training data.",
        "umi prepare rollouts runs/tree --out train.jsonl",
        "umi prepare rollouts runs/tree --out train.jsonl --pairs pairs.jsonl --role planner",
    ),
    "prepare mask": (
        "Rename tools and arguments in trajectories.",
        "umi prepare mask train.jsonl --out masked.jsonl",
        "umi prepare mask train.jsonl --out masked.jsonl --share 1",
    ),
    "prepare problems": (
        "Mathematical test sets as tasks.",
        "umi prepare problems test.jsonl --out tasks.jsonl",
        "umi prepare problems test.jsonl --out tasks.jsonl --limit 100",
    ),
    "prepare bfcl": (
        "BFCL's questions as tasks.",
        "umi prepare bfcl BFCL_v4_simple_python.json --out bfcl.jsonl",
        "umi prepare bfcl BFCL_v4_multiple.json BFCL_v4_irrelevance.json --out bfcl.jsonl --limit 20",
    ),
    "prepare tau2": (
        "tau2-bench's tasks with a scripted user.",
        "umi prepare tau2 retail --python tau2/bin/python --out tau2.jsonl",
        "umi prepare tau2 airline retail --python tau2/bin/python --out tau2.jsonl --limit 10",
    ),
    "evaluate tau2": (
        "Check the databases that calls lead to.",
        "umi evaluate tau2 runs/tau2 --python tau2/bin/python --out scores.json",
        "umi evaluate tau2 runs/tau2 --python tau2/bin/python --out scores.json --json",
    ),
    "evaluate bfcl": (
        "Check calls as BFCL does.",
        "umi evaluate bfcl runs/bfcl --python bfcl/bin/python --out scores.json",
        "umi evaluate bfcl runs/bfcl --python bfcl/bin/python --out scores.json --json",
    ),
    "evaluate toolalpaca": (
        "Check calls against golden ones.",
        "umi evaluate toolalpaca runs/toolalpaca --gold eval_simulated.json --out scores.json",
        "umi evaluate toolalpaca runs/toolalpaca --gold eval_real.json --out scores.json --model judge "
        "--base-url http://localhost:8000/v1",
    ),
    "evaluate gsm8k": (
        "Score answers to word problems.",
        "umi evaluate gsm8k runs/gsm8k --out scores.json",
        "umi evaluate gsm8k runs/gsm8k --gold test.jsonl --out scores.json --json",
    ),
    "evaluate math": (
        "Score answers to MATH.",
        "umi evaluate math runs/math --out scores.json",
        "umi evaluate math runs/math --gold test.jsonl --out scores.json --json",
    ),
    "prepare gsm8k": (
        "GSM8K's solutions to training data.",
        "umi prepare gsm8k train.jsonl --out gsm8k.jsonl --held-out test.jsonl",
        "umi prepare gsm8k train.jsonl --out gsm8k.jsonl --tool python --new-numbers 4",
    ),
    "tools from-openapi": (
        "Make tools of an OpenAPI document.",
        "umi tools from-openapi https://petstore3.swagger.io/api/v3/openapi.json --out pets.json",
        "umi tools from-openapi weather.yaml --out weather.json --auth 'query:appid=$WEATHER_KEY' --only current_get",
    ),
    "data check": (
        "Check training data row by row.",
        "umi data check train.jsonl",
        "umi data check train.jsonl --json",
    ),
    "export gguf": (
        "Write models for llama.cpp.",
        "umi export gguf runs/mine --out served",
        "umi export gguf umi-tiny --out served",
    ),
    "export agent": (
        "Copy a run without its training files.",
        "umi export agent runs/mine --out given --world small",
        "umi export agent runs/mine --out given --world small --card card.md",
    ),
    "export adapters": (
        "Write adapters as an agent over a named base model.",
        "umi export adapters runs/umi-smol --base smollm2-135m --world functions --out given",
        "umi export adapters runs/umi-smol --base smollm2-135m --world functions --out given --card card.md",
    ),
    "evaluate static": (
        "Score predicted steps.",
        "umi evaluate static predictions.json --out scores.json",
        "umi evaluate static predictions.json --out scores.json --json",
    ),
    "evaluate retrieval": (
        "Score retrieval: recall and NDCG.",
        "umi evaluate retrieval --queries queries",
        "umi evaluate retrieval --queries queries --tools tools --json",
    ),
    "evaluate world": (
        "Score rollouts of a sealed world by kind of task.",
        "umi evaluate world runs/rollouts",
        "umi evaluate world runs/rollouts --out scores.json --json",
    ),
    "format learn": (
        "Recover prompts from training files.",
        "umi format learn --role planner=planner.json --out format.json",
        "umi format learn --role planner=planner.json --role caller=caller.json --out format.json",
    ),
    "world write": (
        "Write gold trajectories of the sealed world.",
        "umi world write --out world --count 100",
        "umi world write --out world --preset small --set G1_tool --count 50",
    ),
    "world pages": (
        "Write texts about the sealed world.",
        "umi world pages --out pages.jsonl --count 1000",
        "umi world pages --out pages.jsonl --preset full",
    ),
    "world serve": (
        "Serve a virtual ToolBench.",
        "umi world serve --port 8080",
        "umi world serve --port 8080 --cache replies.sqlite --preset small",
    ),
    "world cache import": (
        "Add StableToolBench's replies to a cache.",
        "umi world cache import tool_response_cache --cache replies.sqlite",
        "umi world cache import other_cache --cache replies.sqlite",
    ),
    "world cache export": (
        "Write a cache as StableToolBench's folder.",
        "umi world cache export --cache replies.sqlite --out folder",
        "umi world cache export --cache other.sqlite --out other",
    ),
    "judge convert": (
        "Raw answers to ToolEval's format.",
        "umi judge convert runs/chain --out answers",
        "umi judge convert data/answers --out answers.json --method DFS",
    ),
    "judge pass": (
        "Judge the pass rate.",
        "umi judge pass answers --out passes --world",
        "umi judge pass answers --out passes --base-url http://localhost:8000/v1 --model judge --votes 5",
    ),
    "judge win": (
        "Judge the win rate of two systems.",
        "umi judge win passes-a passes-b --out wins --world",
        "umi judge win passes-a passes-b --out wins --base-url http://localhost:8000/v1 --model judge",
    ),
    "judge report": (
        "Report rates with intervals and tests.",
        "umi judge report passes-a passes-b wins",
        "umi judge report passes-a --out report.json",
    ),
    "bench engine": (
        "Measure the engine on this machine.",
        "umi bench engine umi-tiny",
        "umi bench engine runs/mine --tasks 8",
    ),
}
"""Verb -> summary and two examples."""
GROUPS = {
    "export": "Export examples, chats, GGUF files or an agent.",
    "judge": "Judge rollouts: pass rate and win rate.",
}
"""Summaries of groups whose help is longer than a line."""


def add_examples(app: typer.Typer) -> None:
    """Add its summary and examples to every verb of the table."""
    for name, command in _commands(app, ""):
        if name in EXAMPLES:
            summary, *commands = EXAMPLES[name]
            command.short_help = summary
            command.epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in commands)])
    for group in app.registered_groups:
        group.short_help = GROUPS.get(group.name or "", group.short_help)


def _commands(app: typer.Typer, above: str) -> Iterator[tuple[str, CommandInfo]]:
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        yield f"{above}{name}", command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{above}{group.name} ")
