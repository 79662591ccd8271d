"""Start of a virtual ToolBench from its options."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from alpha_umi.config import EndpointConfig
from alpha_umi.environments.rapidapi import load_apis
from alpha_umi.environments.recording import Recording
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.formats.tool_json import Api
from alpha_umi.loading.judges import open_simulator
from alpha_umi.serving.http import server
from alpha_umi.serving.http.guard import hosts_of
from alpha_umi.serving.virtual_tools.app import AppOptions, make_app
from alpha_umi.serving.virtual_tools.cache import ReplyCache
from alpha_umi.serving.virtual_tools.faults import read_faults
from alpha_umi.serving.virtual_tools.folders import import_folder
from alpha_umi.serving.virtual_tools.service import VirtualTools
from alpha_umi.serving.virtual_tools.simulators import Actor, ModelSimulator, Simulator, WorldSimulator
from alpha_umi.serving.virtual_tools.wire import ApiAddress, address_of_api
from alpha_umi.types import Reference, Sampling

_REPLY_TOKENS = 1024
WORLD, NO_SIMULATOR = "world", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Options of the simulator."""

    who: str = WORLD
    """`world`, `none`, or the base address of an OpenAI-compatible endpoint."""
    model: str | None = None
    """At the endpoint."""
    key_env: str = "OPENAI_API_KEY"
    concurrency: int = 8
    preset: str = "tiny"
    """Of the world that is seen without a task."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Options of the server."""

    host: str = "127.0.0.1"
    port: int = 0
    cache: Path | None = None
    """None: replies are forgotten when the server ends."""
    replay: Sequence[Path] = ()
    """Recordings (.jsonl), or StableToolBench's cache folders."""
    tools: Path | None = None
    """Tool JSON files."""
    simulation: Simulation = Simulation()
    faults: str = ""
    key_env: str | None = None
    """The environment variable with the toolbench_key that requests must have; None: any will do."""
    compat: Reference | None = None
    """Arguments are read as published, NaN included."""


def run(options: ServerOptions, ready: Callable[[str], None]) -> Mapping[str, int]:
    """Serve until interrupted; `ready` is called with the address. Returns counts of replies by source.

    Raises ConfigError, DataError or StorageError naming the obstacle.
    """
    app_options = AppOptions(
        key=_accepted_key(options.key_env),
        faults=read_faults(options.faults, options.simulation.seed),
        seed=options.simulation.seed,
        hosts=hosts_of(options.host),
        compat=options.compat,
    )
    apis = {address_of_api(api): api for api in reversed(load_apis(options.tools))} if options.tools else {}
    simulator = _open_simulator(options.simulation, apis)
    recordings = [_open_recording(path) for path in options.replay if not path.is_dir()]
    with ExitStack() as opened:
        listening = server.listen(options.host, options.port)
        opened.callback(listening.close)
        path = options.cache or Path(opened.enter_context(tempfile.TemporaryDirectory("-umi"))) / "replies.sqlite"
        cache = ReplyCache(path)
        opened.callback(cache.close)
        for folder in options.replay:
            if folder.is_dir():
                import_folder(folder, cache)
        tools = VirtualTools(cache, simulator, recordings, apis)
        server.serve(make_app(tools, app_options), listening, lambda: ready(server.address(listening)))
        return tools.counts


def _accepted_key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise ConfigError(f"--key-env {variable}: that environment variable is not set; set it to the key to accept")
    return key


def _open_recording(path: Path) -> Recording:
    if not path.exists():
        raise DataError(f"{path}: no such recording; name a .jsonl that an environment recorded, or a cache folder")
    return Recording(path)


def _open_simulator(simulation: Simulation, apis: Mapping[ApiAddress, Api]) -> Simulator | None:
    if simulation.who == NO_SIMULATOR:
        return None
    if simulation.who == WORLD:
        return WorldSimulator(simulation.preset, simulation.seed)
    if urlsplit(simulation.who).scheme not in ("http", "https"):
        raise ConfigError(
            f"--simulator {simulation.who!r} is not known; choose {WORLD}, {NO_SIMULATOR}, or an address such as "
            "http://localhost:8000/v1"
        )
    if simulation.model is None:
        raise ConfigError(f"--simulator {simulation.who}: name the model there by --model")
    if not apis:
        raise ConfigError("a model simulates from the documents of tools; name their folder by --tools")
    config = EndpointConfig(
        base_url=simulation.who,
        model=simulation.model,
        key_env=simulation.key_env,
        concurrency=simulation.concurrency,
    )
    loaded = open_simulator(config)
    sampling = Sampling(max_tokens=_REPLY_TOKENS, seed=simulation.seed)
    actor = Actor(model=loaded.model, name=simulation.model, sampling=sampling, close=loaded.aclose)
    return ModelSimulator(actor, apis)
