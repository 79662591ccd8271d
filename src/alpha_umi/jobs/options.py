"""Keyword arguments that public functions share: the agent, the tools of a query, and the budgets of its search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, with_config
from typing_extensions import TypedDict

from alpha_umi.config.calls import STRICT
from alpha_umi.loading.mcp import McpSource
from alpha_umi.protocols import Environment
from alpha_umi.search import Node
from alpha_umi.types import Role

Tools: TypeAlias = Environment | Sequence[Callable[..., Any]] | Path
"""Python functions (with or without `@tool`), a Python file of them, tool JSON files, an environment, the
`module:attribute` of one, or the name of a tool that comes along: "calculator", "python"."""
AtLeastOne: TypeAlias = Annotated[int, Field(ge=1)]


@with_config(STRICT)
class AgentOptions(TypedDict, total=False):
    """Choice of an agent that no name makes: an endpoint, and variants of a named one."""

    base_url: str | None
    """An OpenAI-compatible endpoint, in place of a name; needs `model`."""
    model: str | None
    """An instruct model, untrained in all three roles: a hub id, a folder, a GGUF file or `smollm2-135m`; with
    `base_url` its name there."""
    native: bool
    """With `model`: alone, by native function calling."""
    chat_template_kwargs: Mapping[str, Any] | None
    """With `model`: variables of its chat template, such as {"enable_thinking": False}."""
    single: bool
    """The backbone alone."""
    constrained: bool | None
    """Constrain calls to the offered tools and their schemas; None: as the agent says."""
    grounded: bool | None
    """Hold calls and answers to what was said; None: as the agent says."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None
    """Least probability of a call; the agent gives up rather than make one that is less sure. None: as it says."""
    trust_remote_code: bool
    """Run Python code that a checkpoint brings; never by default, whatever the checkpoint says."""


@with_config(STRICT)
class SearchOptions(TypedDict, total=False):
    """Search of one query: strategy and budgets."""

    strategy: str
    """chain, CoT@N, dfsdt, dfs, DFS_woFilter_wN or DFS_wN."""
    max_steps: AtLeastOne
    """Depth of a branch, in steps; 12 by default."""
    max_completions: AtLeastOne | None
    """Completions of all roles together."""
    max_tokens: AtLeastOne | None
    """Prompts and completions together."""
    max_seconds: Annotated[float, Field(gt=0)] | None
    """Wall time."""
    max_calls: Annotated[int, Field(ge=0)] | None
    """Tool calls."""
    max_repeats: AtLeastOne | None
    """Calls that are the same and gave the same, with which a branch ends; 3 by default, for rollouts no limit."""


@with_config(STRICT)
class ChatOptions(SearchOptions, total=False):
    """Tools of a conversation and the search of each reply."""

    tools: Tools | None
    """None: tools of the agent's own sealed world that fit the query."""
    env: str | None
    """Where tools of JSON files are called: a service's address, rapidapi, or a TOML file; or an environment of one's
    own, `module:attribute`."""
    mcp: McpSource | Sequence[McpSource] | None
    """MCP servers whose tools are offered, alone or beside `tools`: each a command with its arguments, an address, a
    file with `mcpServers` or what such a file holds, or a server object of the SDK in this process."""
    world: str | None
    """The sealed world that is asked: tiny, small, full or functions."""
    max_observation_chars: AtLeastOne | None
    """Characters of an observation that the agent reads; the rest is left out, and said to be. None: as the
    environment's file says, else 4,096."""
    retrieve: AtLeastOne | None
    """Number of tools that the agent reads, found by BM25; None: all, or 5 with `retrieve_at`."""
    retrieve_at: Literal["query", "step"] | None
    """Find them for the query, the default with `retrieve`, or at each step for its thought and the query."""
    confirm: Callable[..., Any] | None
    """Decides on a call before it is run, for tools that ask for it (`@tool(confirm=True)`) and those of
    `confirm_tools`; `protocols.Confirm`. None: such calls are declined."""
    confirm_tools: Sequence[str]
    """Patterns (`delete_*`) of further tools whose calls are confirmed."""
    approve_tools: Sequence[str]
    """Patterns of tools whose calls run unasked."""


@with_config(STRICT)
class AskOptions(ChatOptions, total=False):
    """Tools of one query, its search, and observers of it."""

    world_task: str | None
    """A task of the sealed world, SPLIT:INDEX, in place of a query."""
    on_node: Callable[[Node], object] | None
    """Called with every node of the search as it grows."""
    on_token: Callable[[Role, str], object] | None
    """Called with the role and each piece of text as it is generated."""


@with_config(STRICT)
class AgentChatOptions(ChatOptions, AgentOptions, total=False):
    """Agent, tools and search of a conversation."""


@with_config(STRICT)
class AgentAskOptions(AskOptions, AgentOptions, total=False):
    """Agent, tools and search of one query."""
