"""Public verbs of long work: functions with the arguments of the command line, whose verbs call them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Unpack, overload

from pydantic import Field, with_config
from typing_extensions import TypedDict

from alpha_umi.agent import OnNoDecision
from alpha_umi.config import (
    AgentConfig,
    EnvironmentConfig,
    LimitsConfig,
    McpConfig,
    RetrievalConfig,
    RolloutConfig,
    TrainConfig,
    make_config,
)
from alpha_umi.config.calls import STRICT, validated
from alpha_umi.config.rollouts import ClientReference
from alpha_umi.errors import ConfigError, InterruptedWorkError
from alpha_umi.evaluation.runner import Shard
from alpha_umi.jobs.agent import AGENT_OR_MODEL, Agent, AgentLike, choose_agent
from alpha_umi.jobs.options import AgentOptions, AtLeastOne, SearchOptions
from alpha_umi.jobs.predict import Predicted, PredictOptions
from alpha_umi.jobs.predict import predict as predict_steps
from alpha_umi.jobs.rollout import Progress, RolloutOptions, local_pool, roll_out
from alpha_umi.jobs.toolbox import read_environment
from alpha_umi.jobs.train import PlanAssumptions, TrainPlan, plan_training, read_train_config
from alpha_umi.jobs.train import train as train_run
from alpha_umi.loading.agents import AgentKind, instruct_agent, is_coded, read_agent
from alpha_umi.loading.environments import MCP_TWICE
from alpha_umi.types import Reference


@with_config(STRICT)
class PlanOptions(TypedDict, total=False):
    """Devices of a planned run; those of this machine by default."""

    world_size: AtLeastOne | None
    """Number of devices."""
    device_memory: Annotated[float, Field(gt=0)] | None
    """GiB of one device."""
    device_tflops: Annotated[float, Field(gt=0)] | None
    """TFLOP/s of one device, as its maker says."""
    mfu: Annotated[float, Field(ge=0.01, le=1)]
    """Fraction of `device_tflops` that is reached; 0.4 by default."""
    rate: Annotated[float, Field(gt=0)] | None
    """Tokens per second of one device, measured."""
    sample: Annotated[int, Field(ge=2)]
    """Trajectories that are tokenised to estimate all; 400 by default."""


@overload
def train(
    config: str | Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    on_progress: Callable[[Any], object] | None = None,
    plan: Literal[False] = False,
) -> Path: ...
@overload
def train(
    config: str | Path, overrides: Sequence[str] = (), *, plan: Literal[True], **devices: Unpack[PlanOptions]
) -> TrainPlan: ...
@validated
def train(
    config: str | Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    on_progress: Callable[[Any], object] | None = None,
    plan: bool = False,
    **devices: Unpack[PlanOptions],
) -> Path | TrainPlan:
    """Train an agent by GLPFT and return its run directory: a backbone on whole steps, then the three roles from it.

    `config`: a training configuration (TOML) or the name of a recipe; `overrides`: keys as 'a.b=c'; `on_progress` gets
    a `training.callbacks.StageProgress` after every step. `plan`: train nothing and return tokens, memory, disk and
    time that the run will need. Raises ConfigError, DataError or CheckpointError for wrong input, InterruptedWorkError
    on Ctrl-C: `resume` goes on from there.
    """
    wanted = read_train_config(str(config), overrides)
    if plan:
        return _plan(wanted, devices)
    if devices:
        raise ConfigError(f"{', '.join(devices)} would change nothing; add plan=True")
    try:
        return train_run(wanted, resume=resume, on_progress=on_progress)
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted; what is done is saved, --resume goes on from there") from None


def _plan(config: TrainConfig, devices: PlanOptions) -> TrainPlan:
    assumptions = PlanAssumptions(
        world_size=devices.get("world_size"),
        memory_gib=devices.get("device_memory"),
        tokens_per_second=devices.get("rate"),
        teraflops=devices.get("device_tflops"),
        utilisation=devices.get("mfu", 0.4),
        sample=devices.get("sample", 400),
    )
    estimate = plan_training(config, assumptions)
    estimate.check()
    return TrainPlan(estimate=estimate)


@validated
def predict(
    agent: AgentLike | None,
    data: Path,
    out: Path,
    *,
    compat: Literal[Reference.ALPHA_UMI] | None = None,
    limit: AtLeastOne | None = None,
    concurrency: AtLeastOne = 64,
    on_progress: Callable[[int, int], object] | None = None,
    **options: Unpack[AgentOptions],
) -> Predicted:
    """Predict every scored step of a data file after the reference's own history; the same call resumes.

    `agent`: as `load` takes it; None with a `model`. `on_progress` gets steps done and all of them. Raises
    ConfigError, DataError or CheckpointError for wrong input, ModelError when a model cannot complete,
    InterruptedWorkError on Ctrl-C.
    """
    wanted = PredictOptions(
        agent=_config(agent, options),
        data=data,
        out=out,
        kind=AgentKind.SINGLE if options.get("single") else None,
        on_no_decision=OnNoDecision.PLANNER if compat is None else OnNoDecision.CALLER,
        limit=limit,
        concurrency=concurrency,
        shard=Shard(rank=int(os.environ.get("RANK", "0")), world_size=int(os.environ.get("WORLD_SIZE", "1"))),
    )
    return predict_steps(wanted, on_progress or (lambda _, __: None))


def _config(agent: AgentLike | None, options: AgentOptions) -> AgentConfig:
    """Configuration of a prediction's agent. Raises ConfigError where none is named, and for one that is code."""
    loaded = isinstance(agent, Agent)
    if agent is None and options.get("model") is None:
        raise ConfigError(AGENT_OR_MODEL)
    config = choose_agent(agent, {} if loaded else options).config
    if config is None:
        raise ConfigError(f"agent {agent!r} is code; a prediction needs a run directory or an agent file")
    constrained = options.get("constrained")
    return config if constrained is None else config.model_copy(update={"constrained": constrained})


@with_config(STRICT)
class RolloutVerbOptions(SearchOptions, total=False):
    """Arguments of `rollout` beside its queries, folder and environment."""

    mcp: str | Path | Sequence[str | Path] | None
    """MCP servers whose tools are offered, alone or beside those of `env`: each a command with its arguments, an
    address, or a file with `mcpServers`."""
    agent: str | Path | None
    """A run directory, an agent file, a bundled name, `oracle`, or `module:attribute`."""
    base_url: str | None
    """An OpenAI-compatible endpoint, in place of `agent`; needs `model`."""
    model: str | None
    """An instruct model as `load` takes it, untrained."""
    native: bool
    chat_template_kwargs: Mapping[str, Any] | None
    single: bool
    trust_remote_code: bool
    """Run Python code that a checkpoint brings."""
    overrides: Sequence[str]
    """Keys of the environment, as 'http.url=...'."""
    ranker: Path | None
    """An agent file in the chat format that compares, for dfs."""
    compat: ClientReference | None
    retrieve_from: Path | None
    """Where tools for queries that name none are found: tool JSON files, query files, or a corpus.tsv."""
    retrieve: AtLeastOne
    """Number of tools found; 5 by default."""
    retrieve_at: Literal["query", "step"] | None
    """Out of the tools that a query names, or of `retrieve_from`, the agent reads those found before the run, by the
    query, or at each step, by its thought and the query. None: only queries that name none get tools found for them."""
    retriever: str | None
    """A SentenceTransformer that finds them, in place of BM25."""
    limit: AtLeastOne | None
    """Only the first queries of each set."""
    concurrency: AtLeastOne
    """Tasks at once; 32 by default."""
    on: Literal["here", "ray"]
    """Where tasks run: in this process, or on every machine of a Ray cluster."""
    resume: bool
    retry: bool
    """With `resume`: again what ended with an error."""
    on_progress: Callable[[Progress], object] | None


@validated
def rollout(queries: Path, out: Path, env: str | Path | None = None, **options: Unpack[RolloutVerbOptions]) -> Progress:
    """Explore query sets with an agent; every finished task is kept at once, as a trajectory and as an answer file.

    Raises ConfigError, DataError or CheckpointError for wrong input, StorageError for a full disk, InterruptedWorkError
    on Ctrl-C: `resume` goes on from there.
    """
    concurrency, given = options.get("concurrency", 32), set(options)
    limits: dict[str, Any] = {name: options[name] for name in LimitsConfig.model_fields if name in given}
    tools, moment = options.get("retrieve_from"), options.get("retrieve_at")
    environment = _environment(None if env is None else str(env), options, concurrency)
    config = RolloutConfig(
        agent=_agent_or_code(options, concurrency),
        single=options.get("single", False),
        ranker=None if (ranker := options.get("ranker")) is None else _trusted(read_agent(ranker), options),
        environment=environment,
        retrieval=None
        if tools is None and moment is None
        else RetrievalConfig(
            tools=None if tools is None else str(tools),
            k=options.get("retrieve", 5),
            at=moment,
            model=options.get("retriever"),
        ),
        strategy=options.get("strategy", "chain"),
        limits=LimitsConfig(**limits),
        compat=options.get("compat"),
    )
    run = RolloutOptions(
        config=config,
        queries=queries,
        out=out,
        concurrency=concurrency,
        limit=options.get("limit"),
        resume=options.get("resume", False),
        retry=options.get("retry", False),
    )
    pool = local_pool
    if options.get("on") == "ray":
        from alpha_umi.jobs.ray import ray_pool as pool
    try:
        return roll_out(run, options.get("on_progress") or (lambda _: None), pool)
    except KeyboardInterrupt:
        raise InterruptedWorkError(
            "interrupted; every finished task is kept, the same command with --resume goes on"
        ) from None


def _environment(env: str | None, options: RolloutVerbOptions, concurrency: int) -> EnvironmentConfig:
    named, overrides = options.get("mcp"), options.get("overrides", ())
    if named is None:
        if env is None:
            raise ConfigError("where are tools run? Name an environment by --env, or MCP servers by --mcp")
        return read_environment(env, overrides, concurrency)
    servers = [str(each) for each in ([named] if isinstance(named, str | Path) else named)]
    if env is None:
        return make_config(EnvironmentConfig, {"mcp": {"servers": servers}}, overrides, "--mcp").rebased(Path.cwd())
    found = read_environment(env, overrides, concurrency)
    if found.mcp is not None:
        raise ConfigError(MCP_TWICE)
    return found.model_copy(update={"mcp": McpConfig(servers=servers).rebased(Path.cwd())})


def _agent_or_code(options: RolloutVerbOptions, concurrency: int) -> AgentConfig | str:
    agent, base_url, model = options.get("agent"), options.get("base_url"), options.get("model")
    native = options.get("native", False)
    template = options.get("chat_template_kwargs")
    if agent is None and model is not None:
        return _trusted(instruct_agent(model, base_url, concurrency, native=native, template=template), options)
    if agent is None or base_url is not None or model is not None or native or template:
        raise ConfigError(AGENT_OR_MODEL)
    return str(agent) if is_coded(str(agent)) else _trusted(read_agent(Path(agent)), options)


def _trusted(config: AgentConfig, options: RolloutVerbOptions) -> AgentConfig:
    return config.trusting() if options.get("trust_remote_code") else config
