"""Endpoint of an agent on loopback, in a thread of its own, and tasks of the sealed world for its clients."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx2

from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.serving.endpoint.app import make_app
from alpha_umi.serving.endpoint.approvals import WAIT_S
from alpha_umi.serving.endpoint.routes import AppOptions, Routes
from alpha_umi.serving.endpoint.start import open_served, read_options
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.http import server
from alpha_umi.serving.http.guard import LOOPBACK
from alpha_umi.types import Call
from alpha_umi.world import World


@dataclass
class AgentServer:
    url: str
    """Base address, `/v1` included."""
    routes: Routes

    @property
    def root(self):
        return self.url.removesuffix("/v1")

    def post(self, path="/chat/completions", headers=(), **fields):
        return httpx2.post(self.url + path, json=fields, headers=dict(headers), timeout=60)

    def events(self, path, **fields):
        """Events of a stream at the server's root, as they come."""
        with httpx2.stream("POST", self.root + path, json=fields, timeout=60) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    def chat(self, text, **fields):
        messages = [{"role": "user", "content": text}]
        return self.post(**{"model": self.routes.served.name, "messages": messages, **fields})


@contextmanager
def serving(agent=None, options=(), spans=None, approval_s=WAIT_S, form=None, allow_mcp=False, **app_options):
    """`agent`: a name or an object; `options`: as `umi serve` takes them; `form`: format of an object."""
    served = open_served(read_options(agent, dict(options), allow_mcp=allow_mcp, approval_s=approval_s))
    if form is not None:
        served = replace(served, loaded=replace(served.loaded, format=form))
    if spans is not None:
        served = replace(served, spans=spans)
    listening = server.listen("127.0.0.1", 0)
    ready = threading.Event()
    app = make_app(served, AppOptions(hosts=LOOPBACK, **app_options), State())
    running = server.Server(app, ready.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(60)
        yield AgentServer(url=f"{server.address(listening)}/v1", routes=app.state.routes)
    finally:
        running.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


class WorldTask:
    """Task of the sealed world whose tools a client runs."""

    def __init__(self, name, preset="small"):
        split, index = name.split(":")
        self.name, self.world = name, World(preset)
        self.task = self.world.task(split, int(index))
        self.environment = WorldEnvironment(self.world, self.task)
        self.called = []

    @property
    def query(self):
        return self.task.query

    @property
    def functions(self):
        return [
            {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
            for tool in self.task.tools
        ]

    @property
    def tools(self):
        return [{"type": "function", "function": function} for function in self.functions]

    async def execute(self, name, arguments):
        call = Call(name=name, arguments=arguments)
        self.called.append(call)
        return (await self.environment.execute(call)).content
