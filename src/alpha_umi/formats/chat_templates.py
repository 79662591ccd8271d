"""Chat templates of checkpoints: messages, and tools where a template takes them, as one text.

A template without a system role gets the system message folded into the first user message. Templates are programs of
a checkpoint's author; transformers runs them in jinja2's sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import Any, Protocol, cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.control_tokens import changed
from alpha_umi.formats.json_schema import write_function
from alpha_umi.types import Call, Json, Message, ToolPrompt, ToolSpec

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
NO_TEMPLATE = (
    "it has no chat template, so it is no chat model (a base model?) and cannot be asked with messages; name an "
    "instruct model, or train this one (umi train)"
)
_PROBE = "probe_tool_of_alpha_umi"
_WORD = "systemwordofalphaumi"
_DEEPEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatUse:
    """Use of a model's chat template by a format."""

    messages: bool = False
    """True: prompts are messages, which need a template."""
    tools: bool = False
    """True: prompts have tools beside the messages (native function calling)."""
    settings: Mapping[str, Any] = field(default_factory=lambda: NO_SETTINGS)
    """Further variables of the template, such as `enable_thinking`."""


class TemplateTokenizer(Protocol):
    """Protocol of a tokenizer that renders a chat template."""

    def apply_chat_template(self, conversation: Any, **options: Any) -> object: ...


def render_chat(
    tokenizer: TemplateTokenizer,
    prompt: Sequence[Message] | ToolPrompt,
    settings: Mapping[str, Any] = NO_SETTINGS,
    hide: Callable[[str], str] = str,
) -> str:
    """Render messages by the tokenizer's chat template, up to where the model's reply begins.

    `settings`: further variables of the template, such as `enable_thinking`. `hide`: changes every text that the
    template is given. Raises FormatError where there is no usable template.
    """
    tools = [changed(_write_tool(tool), hide) for tool in prompt.tools] if isinstance(prompt, ToolPrompt) else None
    messages = prompt.messages if isinstance(prompt, ToolPrompt) else tuple(prompt)
    conversation = [cast("dict[str, Any]", changed(message, hide)) for message in _write_messages(messages)]
    options = {**settings, "add_generation_prompt": True, "tokenize": False, **({"tools": tools} if tools else {})}

    def rendered(told: Sequence[Mapping[str, Any]]) -> str:
        return cast("str", tokenizer.apply_chat_template(told, **options))

    try:
        text = rendered(conversation)
        if _says_system(conversation, text, rendered):
            return text
    except Exception as error:  # templates are programs of the checkpoint's author and raise whatever they like
        if not conversation or conversation[0]["role"] != "system":
            raise FormatError(f"the model's chat template cannot render these messages: {error}") from error
    try:
        return rendered(_folded(conversation))
    except Exception as error:  # the same
        raise FormatError(f"the model's chat template cannot render these messages: {error}") from error


def template_fault(tokenizer: TemplateTokenizer, use: ChatUse) -> str | None:
    """The reason why a tokenizer's chat template cannot be used so; None: it can."""
    if not use.messages:
        return None
    if getattr(tokenizer, "chat_template", None) is None:
        return NO_TEMPLATE
    if use.tools and not takes_tools(tokenizer):
        return "its chat template shows no tools, so it cannot be asked by native function calling; leave out --native"
    unknown = [name for name in use.settings if name not in str(getattr(tokenizer, "chat_template", ""))]
    return f"its chat template has no variable {unknown[0]!r}" if unknown else None


def takes_tools(tokenizer: TemplateTokenizer) -> bool:
    """Test by rendering whether a chat template shows tools, calls and what a tool answered."""
    tool = ToolSpec(name=_PROBE, description="", parameters={"type": "object", "properties": {}})
    said = (
        Message(role="user", content="a"),
        Message(role="assistant", content="", calls=(Call(name=_PROBE, arguments="{}"),)),
        Message(role="tool", content="observed_by_alpha_umi"),
    )
    try:
        first = render_chat(tokenizer, ToolPrompt(messages=said[:1], tools=(tool,)))
        whole = render_chat(tokenizer, ToolPrompt(messages=said, tools=(tool,)))
    except FormatError:
        return False
    return _PROBE in first and "observed_by_alpha_umi" in whole and whole.count(_PROBE) > first.count(_PROBE)


def _says_system(
    conversation: Sequence[Mapping[str, Any]], text: str, rendered: Callable[[Sequence[Mapping[str, Any]]], str]
) -> bool:
    """False where the conversation has a system message that its text leaves out.

    A template may write what it is given otherwise (as JSON, line by line), so a word tells where the message does not.
    """
    if not conversation or conversation[0]["role"] != "system":
        return True
    system, *rest = conversation
    said = str(system["content"]).strip()
    if not said or (
        len(said) > len(_WORD) and text.count(said) > sum(str(each["content"]).count(said) for each in rest)
    ):
        return True
    return _WORD in rendered([{**system, "content": _WORD}, *rest])


def _folded(conversation: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with its system message at the head of the first user message."""
    system, *rest = conversation
    if rest and rest[0]["role"] == "user":
        content = "\n\n".join(part for part in (system["content"], rest[0]["content"]) if part)
        return [{**rest[0], "content": content}, *rest[1:]]
    return [{**system, "role": "user"}, *rest]


def _write_tool(tool: ToolSpec) -> Json:
    return {"type": "function", "function": write_function(tool)}


def _write_messages(messages: Sequence[Message]) -> Iterator[dict[str, Any]]:
    """Messages as templates read them; calls and what answers them have ids and names, which some templates ask for."""
    ids = (f"call{number:05}" for number in count())
    asked: list[tuple[str, str]] = []
    for message in messages:
        fields: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.calls:
            made = [(next(ids), call) for call in message.calls]
            asked = [(own, call.name) for own, call in made]
            fields["tool_calls"] = [
                {
                    "id": own,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _arguments(call.arguments)},
                }
                for own, call in made
            ]
        elif message.role == "tool" and asked:
            own, name = asked.pop(0)
            fields |= {"tool_call_id": own, "name": name}
        yield fields


def _arguments(text: str) -> Json:
    """Arguments as templates want them: an object, or the text where it is none, or too deep for a template."""
    if text.count("{") + text.count("[") > _DEEPEST:
        return text
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text
