"""Scripted searches of the golden family `search`, played with our agents, environments and strategies.

A scenario says what the model replies at which state (the calls so far, joined by '/') and what the tools answer.
"""

import json
from dataclasses import dataclass, field

from alpha_umi.errors import ModelError
from alpha_umi.formats.prompts.hints import Preference
from alpha_umi.search import Chain, Comparison, DepthFirst, PublishedChain, PublishedTree, Tree, explore
from alpha_umi.search.reference import HALLUCINATED
from alpha_umi.search.walk import FaultyReplyError
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    Proposal,
    Task,
    ToolSpec,
    ToolStatus,
    Usage,
    User,
)

STATUS = {0: ToolStatus.OK, 11: ToolStatus.ERROR, 12: ToolStatus.TIMEOUT}
TOKENS, RANK_TOKENS = 7, 3


def scenarios(folder):
    """Name -> scenario, of every file that lists some."""
    return {
        one["name"]: one for path in sorted(folder.glob("scenarios_*.json")) for one in json.loads(path.read_text())
    }


def expectations(folder, reference):
    """Name -> expected outcome, by the last word of the file names: umi or openbmb."""
    paths = sorted(folder.glob(f"expected_*_{reference}.json"))
    return {one["name"]: one["expected"] for path in paths for one in json.loads(path.read_text())}


@dataclass
class ScriptedAgent:
    """Replies by the state path; keeps what it was asked."""

    scenario: dict
    calls: list = field(default_factory=list)
    failed_tokens: int = 0
    """Tokens of replies that failed: the reference counts them, our models cannot report them."""
    _visits: dict = field(default_factory=dict)

    async def propose(self, task, turns):
        path = "/".join(self._words(turns))
        attempt = self._visits.get(path, 0)
        self._visits[path] = attempt + 1
        replies = self.scenario["policy"].get(path) or [self.scenario["default"]]
        reply = replies[min(attempt, len(replies) - 1)]
        said = read_reply(reply)
        self.calls.append({"path": path, "attempt": attempt, "turns": turns, "said": said})
        tokens = reply.get("tokens", TOKENS)
        proposal = Proposal(turns=said, usage=Usage(completion_tokens=tokens, completions=1))
        if reply.get("error_code"):
            if "function_call" in reply:
                raise FaultyReplyError(reply["content"], proposal)
            self.failed_tokens += tokens
            raise ModelError(reply["content"])
        return proposal

    def _words(self, turns):
        offered = {*self.scenario["functions"], "Finish"}
        for turn in turns:
            match turn:
                case Call(name=name, arguments=arguments):
                    yield f"{name if name in offered else HALLUCINATED}({arguments})"
                case Plan(thought=thought, decision=Decision.NONE):
                    yield f"text:{thought}"


def read_reply(reply):
    """What a scripted message says; `Finish` without a return type is an ordinary (wrong) call."""
    thought, call = reply.get("content"), reply.get("function_call")
    if call is None:
        return (Plan(thought=thought, decision=Decision.NONE),) if thought is not None else ()
    arguments = json.loads(call["arguments"]) if call["name"] == "Finish" else {}
    match arguments.get("return_type"):
        case "give_answer":
            decision, then = Decision.CONCLUDE, (Answer(text=arguments["final_answer"]),)
        case "give_up_and_restart":
            return (Plan(thought=thought or "", decision=Decision.GIVE_UP),)
        case _:
            decision, then = Decision.CALL, (Call(name=call["name"], arguments=call["arguments"]),)
    return (*([] if thought is None else [Plan(thought=thought, decision=decision)]), *then)


@dataclass
class ScriptedTools:
    """Answers by name, or by name and arguments; keeps what it was asked."""

    scenario: dict
    calls: list = field(default_factory=list)

    @property
    def tools(self):
        return tuple(ToolSpec(name=name) for name in self.scenario["functions"])

    async def execute(self, call):
        observation = self._answer(call)
        self.calls.append((call.name, call.arguments, observation.content))
        return observation

    def _answer(self, call):
        if call.name == "Finish":
            return Observation(content='{error:"must have "return_type""}', status=ToolStatus.BAD_ARGUMENTS)
        if call.name not in self.scenario["functions"]:
            content = json.dumps({"error": f"No such function name: {call.name}", "response": ""})
            return Observation(content=content, status=ToolStatus.UNKNOWN_TOOL)
        environment = self.scenario["env"]
        found = environment.get(f"{call.name}\n{call.arguments}") or environment[call.name]
        return Observation(content=found[0], status=STATUS[found[1]])

    def fork(self):
        return self


@dataclass
class ScriptedRanker:
    """Prefers as the scenario says, the last word for ever."""

    replies: list
    calls: list = field(default_factory=list)

    async def compare(self, task, before, first, second):
        reply = self.replies[min(len(self.calls), len(self.replies) - 1)]
        self.calls.append((before, first, second, reply))
        preference = Preference.FIRST if reply == "A" else Preference.SECOND
        return Comparison(preference=preference, usage=Usage(completion_tokens=RANK_TOKENS, completions=1))


@dataclass
class Played:
    """A played scenario: the tree and who was asked what."""

    tree: Tree
    agent: ScriptedAgent
    tools: ScriptedTools
    ranker: ScriptedRanker | None
    strategy: object


def strategy_of(scenario, ranker, published):
    """The strategy that a scenario names, as published or ours; a limit of nodes is one of steps there."""
    given = scenario["params"]
    if "pass_at" in given:
        if published:
            steps = given["single_chain_max_step"]
            return PublishedChain(attempts=given["pass_at"], answers=given["answer"], max_nodes=steps)
        return Chain(attempts=given["pass_at"])
    if published:
        return PublishedTree(
            width=given["tree_beam_size"],
            answers=given["answer"],
            max_nodes=given["single_chain_max_step"],
            max_queries=given["max_query_count"],
            ranker=ranker,
        )
    return DepthFirst(width=given["tree_beam_size"], answers=given["answer"], ranker=ranker)


async def play(scenario, published, limits):
    agent, tools = ScriptedAgent(scenario), ScriptedTools(scenario)
    ranks = scenario["params"].get("with_filter")
    ranker = ScriptedRanker(scenario.get("rank") or ["A"]) if ranks else None
    strategy = strategy_of(scenario, ranker, published)
    task = Task(id=scenario["name"], query=scenario["query"], tools=tools.tools)
    tree = Tree(task=task)
    async for node in explore(agent, tools, task, limits, strategy):
        tree.add(node)
    return Played(tree, agent, tools, ranker, strategy)


def context_roles(turns):
    """A letter per message in context: u(ser), a(ssistant), f(unction); '!' on hints of the past."""
    letters = []
    for at, turn in enumerate(turns):
        match turn:
            case User():
                letters.append("u" if at == 0 or at == len(turns) - 1 else "u!")
            case Plan(decision=Decision.NONE) | Call():
                letters.append("a")
            case Observation():
                letters.append("f")
    return letters
