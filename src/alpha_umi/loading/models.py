"""Loading of models: endpoints, and local models whose roles share weights, engine and cache where they can.

Frameworks are imported here only when a configuration needs them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from alpha_umi.config import EndpointConfig, LocalConfig
from alpha_umi.errors import FormatError, explain_missing_extra
from alpha_umi.formats.chat_templates import ChatUse
from alpha_umi.loading.pretrained import find_model
from alpha_umi.protocols import Format, Model
from alpha_umi.types import Role, Task, ToolPrompt

if TYPE_CHECKING:
    from alpha_umi.models.openai import Slots


class ClosableModel(Model, Protocol):
    """Model that holds resources until it is closed."""

    async def aclose(self) -> None: ...


def open_models(chosen: Mapping[Role, LocalConfig | EndpointConfig], form: Format) -> dict[Role, ClosableModel]:
    """Open one model per role; roles of one configuration, and roles on one base model here, share what they can."""
    models: dict[Role, ClosableModel] = {}
    slots: dict[str, Slots | None] = {}
    for role, config in chosen.items():
        if role in models:
            continue
        alike = {
            other: beside for other, beside in chosen.items() if _without_adapter(beside) == _without_adapter(config)
        }
        match config:
            case EndpointConfig():
                shared = slots.setdefault(config.base_url, _slots(config))
                models |= dict.fromkeys(alike, open_endpoint(config, shared))
            case LocalConfig():
                adapters = {other: beside.adapter for other, beside in alike.items() if isinstance(beside, LocalConfig)}
                models |= open_local(config, adapters, form)
    return models


def _without_adapter(config: LocalConfig | EndpointConfig) -> LocalConfig | EndpointConfig:
    return config.model_copy(update={"adapter": None}) if isinstance(config, LocalConfig) else config


def _slots(config: EndpointConfig) -> Slots | None:
    """Slots of a server that its models share, where requests name them."""
    from alpha_umi.models.openai import Slots

    return None if config.prefill is None else Slots(config.concurrency)


def open_endpoint(config: EndpointConfig, slots: Slots | None = None) -> ClosableModel:
    """Open a model behind an endpoint. `slots`: of its server, where other models use them too."""
    from alpha_umi.models.openai import Endpoint, OpenAIModel, Prefill

    return OpenAIModel(
        Endpoint(
            base_url=config.base_url,
            model=config.model,
            api=config.api,
            api_key=os.environ.get(config.key_env),
            api_key_variable=config.key_env,
            timeout_s=config.timeout_s,
            max_concurrency=config.concurrency,
            grammar=config.grammar,
            extra=config.extra,
            prefill=None if config.prefill is None else Prefill(config.prefill.without, config.prefill.extra),
        ),
        slots=slots,
    )


def open_local(base: LocalConfig, adapters: Mapping[Role, str | None], form: Format) -> Mapping[Role, ClosableModel]:
    import_engine(base.model)
    from alpha_umi.models.local import load_roles

    return load_roles(
        find_model(base.model),
        adapters,
        merged_adapter=base.merged_adapter,
        end=form.end,
        special_tokens=form.special_tokens,
        chat=replace(chat_use(form), settings=base.chat_template_kwargs),
        device=base.device,
        dtype=base.dtype,
        cache_gb=base.cache_gb,
        one_core="OMP_NUM_THREADS" not in os.environ,
        trust_remote_code=base.trust_remote_code,
    )


def chat_use(form: Format) -> ChatUse:
    """Use that a format makes of the chat template of its models, by the prompt that it renders."""
    for role in (Role.PLANNER, Role.BACKBONE):
        try:
            prompt = form.render(role, Task(id="", query=""), ())
        except FormatError:
            continue
        return ChatUse(messages=not isinstance(prompt, str), tools=isinstance(prompt, ToolPrompt))
    return ChatUse()


def import_engine(model: str = "a model") -> None:
    """Import torch, which takes seconds. Raises ConfigError where it, or transformers, is not installed."""
    with explain_missing_extra("local", f"running {model} here", instead="name an endpoint"):
        importlib.import_module("alpha_umi.models.local")
        if importlib.util.find_spec("transformers") is None:  # imported when a model that needs it is loaded
            raise ModuleNotFoundError(name="transformers")
