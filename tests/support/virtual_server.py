"""The virtual ToolBench server on loopback, in a thread of its own."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2

from alpha_umi.formats.tool_json import Api
from alpha_umi.serving.http import server
from alpha_umi.serving.virtual_tools.app import AppOptions, make_app
from alpha_umi.serving.virtual_tools.cache import ReplyCache
from alpha_umi.serving.virtual_tools.service import VirtualTools
from alpha_umi.serving.virtual_tools.simulators import WorldSimulator
from alpha_umi.world import TOOLS

CLIENT = httpx2.Client(timeout=60)
CITY = {
    "category": "places",
    "tool_name": "atlas",
    "api_name": "city",
    "tool_input": '{"city": "Paris"}',
    "strip": "truncate",
    "toolbench_key": "",
}


CLOCK = Api(
    category="Data",
    tool="Clock",
    name="Now",
    required=({"name": "zone", "type": "STRING"},),
    schema='{"hour": "int", "deep": {"a": "str"}}',
)
NOW = {"category": "Data", "tool_name": "clock", "api_name": "now"}


@dataclass
class Virtual:
    url: str
    tools: VirtualTools


@contextmanager
def serving(path, simulator=None, recordings=(), apis=None, **options):
    """`path`: the cache file."""
    tools = VirtualTools(ReplyCache(path), simulator, recordings, apis)
    listening = server.listen("127.0.0.1", 0)
    ready = threading.Event()
    running = server.Server(make_app(tools, AppOptions(**options)), ready.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(60)
        yield Virtual(url=server.address(listening), tools=tools)
    finally:
        running.should_exit = True
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


def world(preset="tiny", seed=0):
    return WorldSimulator(preset, seed)


def post(virtual, path="/virtual", **fields):
    """As the published clients ask: one POST of JSON with the key in a header, too."""
    payload = {**CITY, **fields}
    headers = {"toolbench_key": payload["toolbench_key"]}
    return CLIENT.post(f"{virtual.url}{path}", content=json.dumps(payload), headers=headers)


def world_apis():
    return [
        Api(category=tool.category, tool=tool.provider, name=name.removesuffix(f"_for_{tool.provider}"))
        for name, tool in TOOLS.items()
    ]
