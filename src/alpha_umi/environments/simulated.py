"""Environment whose tools are simulated by a model: it reads a tool's document and the calls so far, and replies.

ToolAlpaca's own way of running its APIs, with our simulator's prompt. A reply that cannot be read, after three tries,
is an error of the tool.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.errors import ModelError
from alpha_umi.formats.prompts.again import ask_again
from alpha_umi.formats.prompts.simulator import AGAIN, Example, Simulation, read_simulation, write_simulation
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.formats.tool_json import Api
from alpha_umi.protocols import Model
from alpha_umi.types import Call, Json, Message, Observation, Sampling, Task, ToolSpec, ToolStatus

SIMULATION_TRIES = 3


async def simulate(model: Model, prompt: tuple[Message, ...], sampling: Sampling) -> Simulation | None:
    """Ask a model for a simulated reply; None where it wrote none in three tries. Raises ModelError."""
    asked = prompt
    for _ in range(SIMULATION_TRIES):
        text = (await model.complete(asked, sampling)).text
        said = read_simulation(text)
        if said is not None:
            return said
        asked = ask_again(prompt, text, AGAIN)
    return None


class SimulatedEnvironment:
    """Environment that offers the tools of a task, whose replies a model writes. A fork has the calls of its branch.

    Calls whose arguments do not fit the tool's schema do not reach the model.
    """

    def __init__(self, task: Task, model: Model, sampling: Sampling, earlier: Sequence[Example] = ()) -> None:
        self._task, self._model, self._sampling = task, model, sampling
        self._earlier = tuple(earlier)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._task.tools

    async def execute(self, call: Call) -> Observation:
        tool = next((each for each in self._task.tools if each.name == call.name), None)
        if tool is None:
            return unknown_tool(call.name)
        arguments = read_arguments(tool, call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        prompt = write_simulation(self._document(tool), arguments, self._earlier)
        try:
            said = await simulate(self._model, prompt, self._sampling)
        except ModelError as error:
            return Observation(content=f"the simulator failed: {error}", status=ToolStatus.ERROR)
        if said is None:
            return Observation(
                content=f"the simulator wrote no reply in {SIMULATION_TRIES} tries", status=ToolStatus.ERROR
            )
        response = said.error or said.response
        shown: dict[str, Json] = {"tool": tool.name, **arguments}
        self._earlier = (*self._earlier, Example(arguments=shown, response=response))
        content = response if isinstance(response, str) else json.dumps(response, ensure_ascii=False)
        return Observation(content=content, status=ToolStatus.ERROR if said.error else ToolStatus.OK)

    def fork(self) -> SimulatedEnvironment:
        return SimulatedEnvironment(self._task, self._model, self._sampling, self._earlier)

    def _document(self, tool: ToolSpec) -> Api:
        """Document of a tool as the simulator reads it."""
        properties, required = tool.parameters.get("properties"), tool.parameters.get("required")
        needed = required if isinstance(required, list) else []
        declared = properties if isinstance(properties, dict) else {}
        rows = {name: {"name": name, **(each if isinstance(each, dict) else {})} for name, each in declared.items()}
        return Api(
            category="",
            tool=str(self._task.metadata.get("api", "")),
            name=tool.name,
            description=tool.description,
            required=tuple(row for name, row in rows.items() if name in needed),
            optional=tuple(row for name, row in rows.items() if name not in needed),
            method="",
        )
