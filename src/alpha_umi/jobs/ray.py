"""Rollouts on the machines of a Ray cluster.

Every machine (every GPU, where the agent's models run there) gets an agent and an environment of its own; tasks go
to the worker with the fewest running, and the folder of the run is written by this process alone. A machine that dies
loses nothing but the time: its tasks are given to the others. The package, and the paths that the configuration
names, must be there on every machine.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpha_umi.config import AgentConfig, LocalConfig, RolloutConfig
from alpha_umi.errors import ConfigError, ModelError, explain_missing_extra
from alpha_umi.loading.rollouts import LoadedExplorer, open_explorer
from alpha_umi.rollouts.runner import Job, Rollout
from alpha_umi.types import Role


class RayWorker:
    """One agent and its environment, in a process on some machine."""

    def __init__(self, config: RolloutConfig) -> None:
        self._loaded: LoadedExplorer = open_explorer(config)

    async def ready(self) -> None:
        """Answers once everything is loaded."""

    async def roll_out(self, job: Job) -> Rollout:
        return await self._loaded.explorer.roll_out(job)


@dataclass(slots=True, kw_only=True)
class _Slot:
    """A worker, and the number of tasks that it runs."""

    worker: Any
    node: str
    under_way: int = 0


@asynccontextmanager
async def ray_pool(config: RolloutConfig, concurrency: int) -> AsyncIterator[Callable[[Job], Awaitable[Rollout]]]:
    """All machines of the cluster at RAY_ADDRESS, or of the one that this machine belongs to.

    `concurrency` counts the tasks that run on all of them. Raises ConfigError where there is no cluster, or where a
    machine cannot load what `config` names.
    """
    ray = _import()
    connected = _connect(ray)
    slots = _start_workers(ray, config, concurrency)
    try:
        await _wait_until_ready(ray, slots)

        async def roll_out(job: Job) -> Rollout:
            while True:
                if not slots:
                    raise ModelError("all machines of the Ray cluster are gone; mend it, and --resume goes on")
                slot = min(slots, key=lambda each: each.under_way)
                slot.under_way += 1
                reference = slot.worker.roll_out.remote(job)
                try:
                    return await reference
                except ray.exceptions.RayActorError:
                    if slot in slots:
                        slots.remove(slot)
                except asyncio.CancelledError:
                    ray.cancel(reference)
                    raise
                finally:
                    slot.under_way -= 1

        yield roll_out
    finally:
        for slot in slots:
            ray.kill(slot.worker)
        if connected:
            ray.shutdown()


def _import() -> Any:
    with explain_missing_extra("ray", "on every machine, --on ray"):
        import ray
        import ray.exceptions
    return ray


def _connect(ray: Any) -> bool:
    """Connect to the cluster; True if the connection is ours to close."""
    if ray.is_initialized():
        return False
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(
            f"no Ray cluster at {address!r}: {told}; {_token_hint()}start one by 'ray start --head', or set RAY_ADDRESS"
        ) from None
    return True


def _token_hint() -> str:
    """Advice on Ray's token, which a local `ray.init()` leaves and for which later clusters of this machine ask.

    Ray sends it to a cluster at a given address only under RAY_AUTH_MODE=token, and else says that there is no cluster.
    """
    kept = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    has_token = bool(os.environ.get("RAY_AUTH_TOKEN")) or kept.is_file()
    if os.environ.get("RAY_AUTH_MODE") == "token":
        if has_token:
            return ""
        return f"unset RAY_AUTH_MODE, or give the cluster's token by RAY_AUTH_TOKEN or in {kept}; "
    if has_token:
        return f"if it is there it may ask for the token in {kept}: set RAY_AUTH_MODE=token; "
    return ""


def _start_workers(ray: Any, config: RolloutConfig, concurrency: int) -> list[_Slot]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    on_gpus = isinstance(config.agent, AgentConfig) and any(
        isinstance(config.agent.roles.get(role), LocalConfig) for role in Role
    )
    slots: list[_Slot] = []
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        gpus = int(node["Resources"].get("GPU", 0)) if on_gpus else 0
        for _ in range(gpus or 1):
            remote = ray.remote(RayWorker).options(
                num_cpus=1,
                num_gpus=1 if gpus else 0,
                max_concurrency=concurrency,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            slots.append(_Slot(worker=remote.remote(config), node=node["NodeManagerAddress"]))
    return slots


async def _wait_until_ready(ray: Any, slots: list[_Slot]) -> None:
    for slot in slots:
        try:
            await slot.worker.ready.remote()
        except ray.exceptions.RayActorError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ConfigError(f"the machine {slot.node} of the Ray cluster cannot begin: {reason}") from None
