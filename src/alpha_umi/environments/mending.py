"""Environment whose calls reach another one as JSON that fits the tool's schema, where they can be read in one way."""

from __future__ import annotations

import json
from dataclasses import replace

from alpha_umi.arguments import Fault, decode_arguments
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Observation, ToolSpec


class MendingEnvironment:
    """Environment that mends the arguments of calls for another one, and notes the mends with the observation.

    A call that fits as it is, that cannot be read or that names no tool is passed on as it is.
    """

    def __init__(self, inner: Environment) -> None:
        self._inner = inner

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._inner.tools

    async def execute(self, call: Call) -> Observation:
        spec = next((tool for tool in self._inner.tools if tool.name == call.name), None)
        read = None if spec is None else decode_arguments(spec, call.arguments)
        if read is None or isinstance(read, Fault) or not read.mends:
            return await self._inner.execute(call)
        mended = replace(call, arguments=json.dumps(read.values, ensure_ascii=False))
        return replace(await self._inner.execute(mended), mends=read.mends)

    def fork(self) -> MendingEnvironment:
        return MendingEnvironment(self._inner.fork())
