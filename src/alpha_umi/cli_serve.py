"""The verbs of serving: a virtual ToolBench."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.errors import ConfigError


def serve_world(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one, which is printed.")] = 8080,
    cache: Annotated[
        Path | None, typer.Option(help="The replay cache (.sqlite); it grows by what is simulated.")
    ] = None,
    replay: Annotated[list[Path] | None, typer.Option(help="A recording (.jsonl) of an environment.")] = None,
    simulator: Annotated[str, typer.Option(help="Who replies to what is not recorded: world, none.")] = "world",
    preset: Annotated[str, typer.Option(help="Which world.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Which of the world's histories.")] = 0,
) -> None:
    """A virtual ToolBench server: replies from the cache, then from recordings, then from a simulator."""
    try:
        from alpha_umi.serving.virtual_tools import server
        from alpha_umi.serving.virtual_tools.app import Terms, make_app
    except ModuleNotFoundError as error:
        raise ConfigError(f"serving needs {error.name}; pip install 'alpha-umi[serve]'") from None
    from alpha_umi.environments.recording import Recording
    from alpha_umi.serving.virtual_tools.cache import ReplyCache
    from alpha_umi.serving.virtual_tools.service import VirtualTools
    from alpha_umi.serving.virtual_tools.simulators import WorldSimulator
    from alpha_umi.world import World

    if simulator not in ("world", "none"):
        raise ConfigError(f"--simulator {simulator!r} is not known; known: world, none")
    with tempfile.TemporaryDirectory(prefix="umi-replies-") as folder:
        recordings = [Recording(path) for path in replay or ()]
        simulates = WorldSimulator(World(preset, seed), f"{preset}/{seed}") if simulator == "world" else None
        listening = server.listen(host, port)
        tools = VirtualTools(ReplyCache(cache or Path(folder) / "replies.sqlite"), simulates, recordings)
        url = server.address(listening)
        server.serve(make_app(tools, Terms()), listening, lambda: print(f"{url}/virtual", flush=True))
