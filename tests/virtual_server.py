"""The virtual ToolBench server on loopback, in a thread of its own."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass

from alpha_umi.serving.virtual_tools import server
from alpha_umi.serving.virtual_tools.app import Terms, make_app
from alpha_umi.serving.virtual_tools.cache import ReplyCache
from alpha_umi.serving.virtual_tools.service import VirtualTools
from alpha_umi.serving.virtual_tools.simulators import WorldSimulator


@dataclass
class Virtual:
    url: str
    tools: VirtualTools


@contextmanager
def serving(path, simulator=None, recordings=(), apis=None, **terms):
    """`path`: the cache file."""
    tools = VirtualTools(ReplyCache(path), simulator, recordings, apis)
    listening = server.listen("127.0.0.1", 0)
    ready = threading.Event()
    running = server.Server(make_app(tools, Terms(**terms)), ready.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        assert ready.wait(20)
        yield Virtual(url=server.address(listening), tools=tools)
    finally:
        running.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive()


def world(preset="tiny", seed=0):
    return WorldSimulator(preset, seed)
