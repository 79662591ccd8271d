"""Judges and API simulators from configuration: models constrained to a reply schema where their server can do that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from alpha_umi.config import EndpointConfig, LocalConfig
from alpha_umi.formats.load import builtin
from alpha_umi.formats.prompts.judging import Evaluator, Question
from alpha_umi.formats.prompts.simulator import SCHEMA as SIMULATION
from alpha_umi.formats.prompts.toolalpaca import SCHEMA as VERDICTS
from alpha_umi.judging.fallback import FallbackModel
from alpha_umi.loading.models import ClosableModel, open_endpoint, open_local
from alpha_umi.protocols import Model
from alpha_umi.types import Completion, Json, Prompt, Role, Sampling

_BOUND, _REASON_LENGTH = "maxLength", 600
"""Most characters of a reason: three to six sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedJudge:
    """Models of a judge by question; an async context manager that releases them."""

    ask: Callable[[Question], Model]
    models: tuple[ClosableModel, ...]

    async def __aenter__(self) -> LoadedJudge:
        return self

    async def __aexit__(self, *_: object) -> None:
        for model in self.models:
            await model.aclose()


def open_judge(config: LocalConfig | EndpointConfig, evaluator: Evaluator) -> LoadedJudge:
    """Open a judge: a local model, or an endpoint constrained to each question's schema where its server can."""
    if isinstance(config, LocalConfig):
        local = open_local(config, {Role.BACKBONE: config.adapter}, builtin("chat"))[Role.BACKBONE]
        return LoadedJudge(ask=lambda _: local, models=(local,))
    unconstrained = open_endpoint(config)
    asked, opened = dict[Question, Model](), [unconstrained]
    for question, form in evaluator.forms.items():
        bounded = _constrain(config, question, _bounded(form.schema))
        plain = _constrain(config, question, form.schema)
        asked[question] = FallbackModel(FallbackModel(bounded, plain, refusal=_BOUND), unconstrained)
        opened += [bounded, plain]
    return LoadedJudge(ask=lambda question: asked[question], models=tuple(opened))


def _bounded(schema: Mapping[str, Json]) -> dict[str, Json]:
    """Schema of a reply whose reason cannot take all tokens before the verdict; some servers refuse the bound."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not isinstance(reason := properties.get("reason"), dict):
        return dict(schema)
    return {**schema, "properties": {**properties, "reason": {**reason, _BOUND: _REASON_LENGTH}}}


def _constrain(config: EndpointConfig, question: Question, schema: Mapping[str, Json]) -> ClosableModel:
    wanted: Json = {"name": question.value, "schema": dict(schema), "strict": True}
    extra = {"response_format": {"type": "json_schema", "json_schema": wanted}, **config.extra}
    return open_endpoint(config.model_copy(update={"extra": extra}))


# --- simulators, and judges of one schema -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaModel:
    """Model whose replies are one JSON object, constrained to its schema where its server can do that."""

    model: Model
    models: tuple[ClosableModel, ...]

    async def aclose(self) -> None:
        for model in self.models:
            await model.aclose()


def choose_model(
    model: str, base_url: str | None, key_env: str = "OPENAI_API_KEY", concurrency: int = 8
) -> LocalConfig | EndpointConfig:
    """Configuration of a model at `base_url`, else of one that runs here."""
    if base_url is None:
        return LocalConfig(model=model)
    return EndpointConfig(base_url=base_url, model=model, key_env=key_env, concurrency=concurrency)


def open_simulator(config: LocalConfig | EndpointConfig) -> SchemaModel:
    """Open an API simulator; it makes no request yet."""
    return _open_schema_model(config, "reply", SIMULATION)


class LateSimulator:
    """API simulator that is opened by its first request: a look at the tools of a run must load no model."""

    def __init__(self, config: LocalConfig | EndpointConfig) -> None:
        self._config = config
        self._lock = asyncio.Lock()
        self._opened: SchemaModel | None = None

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        async with self._lock:
            if self._opened is None:
                self._opened = await asyncio.to_thread(open_simulator, self._config)
        return await self._opened.model.complete(prompt, sampling)

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()


def open_process_judge(config: LocalConfig | EndpointConfig) -> SchemaModel:
    """Open ToolAlpaca's judge; it makes no request yet."""
    return _open_schema_model(config, "verdicts", VERDICTS)


def _open_schema_model(config: LocalConfig | EndpointConfig, name: str, schema: Mapping[str, Json]) -> SchemaModel:
    if isinstance(config, LocalConfig):
        local = open_local(config, {Role.BACKBONE: config.adapter}, builtin("chat"))[Role.BACKBONE]
        return SchemaModel(model=local, models=(local,))
    wanted: Json = {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}
    constrained = open_endpoint(config.model_copy(update={"extra": {"response_format": wanted, **config.extra}}))
    unconstrained = open_endpoint(config)
    return SchemaModel(model=FallbackModel(constrained, unconstrained), models=(constrained, unconstrained))
