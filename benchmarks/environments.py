"""Verdicts of the sealed world through other libraries, on the same actions; and the speed of tool calls in process.

    python benchmarks/environments.py --tasks 1000 --out runs/environments

runs every interface whose library is installed here and keeps its verdicts in `--out`; run it again with the Python of
another environment for the others (their libraries do not agree on versions). The last lines compare all that `--out`
holds. Actions are gold trajectories, changed in one of the ways of `KINDS`.
"""

import argparse
import asyncio
import hashlib
import importlib.util
import json
import random
import socket
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from alpha_umi.episodes.episode import Episode
from alpha_umi.types import Answer, Call, Decision, Plan
from alpha_umi.world.oracle_agent import open_world

KINDS = (
    "gold", "other answer", "no answer", "given up", "a call left out", "an unknown tool", "wrong arguments",
    "a call twice", "another tool first", "calls after giving up", "calls in one message",
)  # fmt: skip
PRESETS = (("tiny", "train"), ("small", "train"), ("functions", "train"))


def places(count):
    return [{"preset": PRESETS[at % 3][0], "split": PRESETS[at % 3][1], "index": at, "seed": 0} for at in range(count)]


def actions_of(place):
    """Actions on a task, as replies of a model: texts and calls. The last one may give up or answer."""
    chance = random.Random(json.dumps(place))
    episode = Episode.open(**place)
    wired = {own: wire for wire, own in episode.names.items()}
    gold = open_world(place["preset"], place["seed"]).gold(episode.task)
    turns = gold.turns[len(episode.trajectory.turns) - 1 :]
    calls = [(wired[turn.name], json.loads(turn.arguments)) for turn in turns if isinstance(turn, Call)]
    gives_up = any(isinstance(turn, Plan) and turn.decision is Decision.GIVE_UP for turn in turns)
    text = "" if gives_up else next(turn.text for turn in turns if isinstance(turn, Answer))
    kind, other = chance.choice(KINDS), chance.choice(episode.tools[:-1]).name if episode.tools[1:] else "nothing"
    at = chance.randrange(len(calls)) if calls else 0
    match kind:
        case "other answer":
            text, gives_up = (
                chance.choice(["It is 12 or 13.", f"Not so: {text}", f"{text} 999 C", "I do not know."]),
                False,
            )
        case "no answer":
            text, gives_up = "", False
        case "given up":
            gives_up = True
        case "a call left out":
            del calls[at : at + 1]
        case "an unknown tool":
            calls.insert(at, ("no_such_tool", {"x": 1}))
        case "wrong arguments":
            name, given = calls[at] if calls else (other, {})
            wrong = chance.choice([{}, {**given, "no_such": 1}, {key: [value] for key, value in given.items()}])
            calls[at : at + chance.randrange(2)] = [(name, wrong)]
        case "a call twice":
            calls[at:at] = calls[at : at + 1]
        case "another tool first":
            calls.insert(0, (other, {}))
    replies = [("", calls)] if kind == "calls in one message" else [("", [call]) for call in calls]
    if gives_up:
        replies += [("", [("give_up", {})])]
    if kind == "calls after giving up" and gives_up:
        replies += [("", [call]) for call in calls]
    return kind, [reply for reply in replies if reply[1]] + ([(text, [])] if text and not gives_up else [])


def finishing(replies):
    """The same actions where a call of `Finish` ends a task."""
    calls = [call for _, of_reply in replies for call in of_reply]
    given_up = ("Finish", {"return_type": "give_up_and_restart"})
    answered = [("Finish", {"return_type": "give_answer", "final_answer": text}) for text, _ in replies if text]
    return [given_up if name == "give_up" else (name, arguments) for name, arguments in calls] + answered


def plain(verdict):
    return [verdict.right, verdict.supported, *verdict.reasons]


# --- interfaces -------------------------------------------------------------------------------------------


def in_process(asked):
    return [plain(Episode.open(**place).replay(replies).verdict) for place, replies in asked]


def through_mcp(asked):
    from mcp import Client

    from alpha_umi.serving.mcp.episodes import EpisodeEnvironment
    from alpha_umi.serving.mcp.server import make_server

    async def one(place, replies):
        environment = EpisodeEnvironment(Episode.open(**place).task)
        async with Client(make_server(environment, name="task", version="0")) as client:
            for name, arguments in finishing(replies):
                result = await client.call_tool(name, arguments)
                if result.structured_content and "supported" in result.structured_content:
                    told = result.structured_content
                    return [told["right"], told["supported"], *told["reasons"]]
        return plain(environment.episode.verdict)

    async def every():
        return [await one(place, replies) for place, replies in asked]

    return asyncio.run(every())


def through_openenv(asked):
    import uvicorn
    from openenv.core import GenericEnvClient

    from alpha_umi.episodes.openenv_server import make_app

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()

    async def every():
        verdicts = []
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with GenericEnvClient(base_url=address) as client:
            for place, replies in asked:
                await client.reset(**{key: value for key, value in place.items() if key != "seed"})
                seen = None
                for name, arguments in finishing(replies):
                    seen = await client.step({"type": "call_tool", "tool_name": name, "arguments": arguments})
                told = await client.state()
                assert seen is None or not seen.done or seen.reward == float(told["right"] and told["supported"])
                verdicts.append([told["right"], told["supported"], *told["reasons"]])
        return verdicts

    try:
        return asyncio.run(every())
    finally:
        server.should_exit = True
        thread.join(10)


def through_trl(asked):
    """As GRPOTrainer does it: methods of the class are tools, errors are told, and the reward reads the messages."""
    import inspect

    import trl  # noqa: F401  # its environments need nothing of it; its tool schemas are read below
    from transformers.utils import get_json_schema

    from alpha_umi.episodes.trl_environments import judge, trl_environments

    verdicts = []
    for place, replies in asked:
        (row,), factories = trl_environments([place["index"]], place["preset"], place["split"])
        environment = factories[row["environment"]]()
        found = inspect.getmembers(type(environment), predicate=inspect.isfunction)
        tools = {name: getattr(environment, name) for name, _ in found if name != "reset" and name[0] != "_"}
        shown = {tool: get_json_schema(method)["function"]["parameters"] for tool, method in tools.items()}
        for tool in Episode.open(**place).tools:
            assert set(shown[tool.name]["properties"]) == set(tool.parameters["properties"])
            assert set(shown[tool.name].get("required", [])) == set(tool.parameters.get("required", []))
        environment.reset(**row)
        completion = []
        for text, calls in replies:
            functions = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in calls]
            completion.append({"role": "assistant", "content": text, "tool_calls": functions})
            for name, arguments in calls:
                try:
                    said = str(tools[name](**arguments))
                except Exception as error:
                    said = str({"error": str(error)})
                completion.append({"role": "tool", "name": name, "content": said})
        verdicts.append(plain(judge(environment, completion)))
    return verdicts


def through_inspect(asked):
    from inspect_ai import eval as run
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.tool import ToolCall

    from alpha_umi.episodes.inspect_task import world_task

    scripts = {}
    for place, replies in asked:
        episode = Episode.open(**place)
        scripts[episode.task.query, tuple(tool.name for tool in episode.tools)] = replies

    def reply(messages, tools, choice, config):
        last = max(at for at, message in enumerate(messages) if message.role == "user")
        replies = scripts[messages[last].text, tuple(tool.name for tool in tools)]
        done = sum(message.role == "assistant" for message in messages[last:])
        text, calls = replies[done] if done < len(replies) else ("", [])
        output = ModelOutput.from_content("mockllm", text)
        output.usage = ModelUsage()  # without one it counts tokens, with a tokenizer from the net
        output.choices[0].message.tool_calls = [
            ToolCall(id=f"{done}-{number}", function=name, arguments=arguments)
            for number, (name, arguments) in enumerate(calls)
        ]
        return output

    verdicts = {}
    for preset, split in PRESETS:
        these = frozenset(place["index"] for place, _ in asked if place["preset"] == preset)
        task = world_task(preset, split, 0, max(these, default=-1) + 1)
        task.dataset = task.dataset.filter(lambda sample, these=these: sample.metadata["index"] in these)
        model = get_model("mockllm/model", custom_outputs=reply)
        with tempfile.TemporaryDirectory() as logs:
            (log,) = run(task, model=model, display="none", log_dir=logs)
            assert log.status == "success", log.error
            for sample in log.samples:
                (score,) = sample.scores.values()
                verdicts[preset, sample.metadata["index"]] = plain(SimpleNamespace(**score.metadata))
    return [verdicts[place["preset"], place["index"]] for place, _ in asked]


def through_verifiers(asked):
    """A real task, tool server and scoring, with the tools called over MCP and the state kept here between calls."""
    import verifiers.v1 as vf
    from mcp import Client
    from mcp.server.mcpserver import MCPServer
    from verifiers.v1.graph import MessageNode
    from verifiers.v1.trace import AgentInfo, TraceTask
    from verifiers.v1.types import AssistantMessage, ToolCall, ToolMessage

    from alpha_umi.episodes.verifiers_taskset import WorldConfig, WorldState, WorldTaskset, WorldToolset

    class LocalToolset(WorldToolset):
        async def _pull_state(self):
            return self.kept

        async def _push_state(self, before):
            pass

    async def one(place, replies):
        config = WorldConfig(preset=place["preset"], split=place["split"], start=place["index"], count=1)
        (task,) = WorldTaskset(config)
        told = TraceTask(type="WorldTask", data=task.data)
        trace = vf.Trace(task=told, agent=AgentInfo(config=vf.AgentConfig()), state=WorldState())
        await task.setup(trace, None)
        server, tools = MCPServer("tools"), LocalToolset(config.tools)
        tools.kept = trace.state
        tools.register(server)
        async with Client(server) as client:
            offered = {tool.name for tool in (await client.list_tools()).tools}
            for text, calls in replies:
                said = [
                    ToolCall(id=str(at), name=name, arguments=json.dumps(given))
                    for at, (name, given) in enumerate(calls)
                ]
                trace.nodes.append(MessageNode(message=AssistantMessage(content=text, tool_calls=said), sampled=True))
                for call, (name, given) in zip(said, calls, strict=True):
                    content = (
                        (await client.call_tool(name, given)).content[0].text if name in offered else "no such tool"
                    )
                    trace.nodes.append(MessageNode(message=ToolMessage(tool_call_id=call.id, content=content)))
        await task.score(trace)
        assert trace.reward == trace.metrics["right"] * trace.metrics["supported"]
        return [bool(trace.metrics["right"]), bool(trace.metrics["supported"]), *trace.info["reasons"]]

    async def every():
        return [await one(place, replies) for place, replies in asked]

    return asyncio.run(every())


INTERFACES = {
    "in process": ("alpha_umi", in_process),
    "MCP": ("mcp", through_mcp),
    "verifiers": ("verifiers", through_verifiers),
    "OpenEnv": ("openenv", through_openenv),
    "TRL": ("trl", through_trl),
    "inspect_ai": ("inspect_ai", through_inspect),
}


def measure_calls(asked):
    """Tool calls per second of CPU time of one process, episodes open."""
    opened = [(Episode.open(**place), replies) for place, replies in asked]
    calls, spent = 0, time.process_time()
    for episode, replies in opened:
        calls += sum(len(of_reply) for _, of_reply in replies)
        episode.replay([reply for reply in replies if reply[1]])
    spent = time.process_time() - spent
    print(f"in process: {calls / spent:,.0f} tool calls per second of one core")


def compare(folder):
    kept = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    (first, *_), *_ = kept.values()
    for name, runs in kept.items():
        differing = sum(verdict != wanted for run in runs for verdict, wanted in zip(run, first, strict=True))
        digest = hashlib.sha256(json.dumps(runs[0]).encode()).hexdigest()[:12]
        passed = sum(all(verdict[:2]) for verdict in runs[0])
        print(f"{name}: {passed} of {len(runs[0])} passed, {differing} of {len(runs) * len(first)} differ ({digest})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=INTERFACES, help="one interface")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made = [(place, *actions_of(place)) for place in places(options.tasks)]
    print("actions:", ", ".join(f"{kind} {count}" for kind, count in Counter(kind for _, kind, _ in made).items()))
    asked = [(place, replies) for place, _, replies in made]
    for name, (library, through) in INTERFACES.items():
        if importlib.util.find_spec(library) is None or options.only not in (None, name):
            continue
        started = time.perf_counter()
        runs = [through(asked) for _ in range(options.repeats)]
        (options.out / f"{name}.json").write_text(json.dumps(runs))
        print(
            f"{name}: {len(asked)} tasks, {options.repeats} times, in {time.perf_counter() - started:.0f} s", flush=True
        )
    measure_calls(asked)
    compare(options.out)


if __name__ == "__main__":
    main()
