"""Writers of tool calls as models of many families write them: the other way of what `formats.dialects` reads."""

import json
from collections.abc import Callable
from dataclasses import dataclass


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def as_object(name, arguments, names=("name", "arguments")):
    return dumps({names[0]: name, names[1]: arguments})


def keywords(arguments):
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


def raw(value):
    return value if isinstance(value, str) else dumps(value)


def elements(name, arguments, parameter):
    return "".join(parameter(key, value) for key, value in arguments.items())


def qwen_coder(name, arguments, space=""):
    inner = elements(name, arguments, lambda key, value: f"<parameter={key}>\n{raw(value)}\n</parameter>\n")
    return f"<{space}tool_call>\n<function={name}>\n{inner}</function>\n</{space}tool_call>"


def invoke(name, arguments, space=""):
    inner = elements(
        name, arguments, lambda key, value: f'<{space}parameter name="{key}">{raw(value)}</{space}parameter>\n'
    )
    return f'<{space}invoke name="{name}">\n{inner}</{space}invoke>\n'


def dsml(name, arguments, space="｜DSML｜", section="function_calls"):
    def parameter(key, value):
        is_text = str(isinstance(value, str)).lower()
        return f'<{space}parameter name="{key}" string="{is_text}">{raw(value)}</{space}parameter>\n'

    inner = f'<{space}invoke name="{name}">\n{elements(name, arguments, parameter)}</{space}invoke>\n'
    return f"<{space}{section}>\n{inner}</{space}{section}>"


def glm(name, arguments, between="\n"):
    def pair(key, value):
        return f"<arg_key>{key}</arg_key>{between}<arg_value>{raw(value)}</arg_value>{between}"

    return f"<tool_call>{name}{between}{elements(name, arguments, pair)}</tool_call>"


def gemma(value, quote='<|"|>'):
    match value:
        case str():
            return f"{quote}{value}{quote}"
        case dict():
            return "{" + ",".join(f"{key}:{gemma(inner, quote)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ",".join(gemma(inner, quote) for inner in value) + "]"
        case _:
            return dumps(value)


def kimi_k3(name, arguments):
    types = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null", list: "array"}

    def argument(key, value):
        kind = types.get(type(value), "object")
        return f'<|open|>argument key="{key}" type="{kind}"<|sep|>{raw(value)}<|close|>argument<|sep|>'

    inner = elements(name, arguments, argument)
    call = f'<|open|>call tool="{name}" index="1"<|sep|>{inner}<|close|>call<|sep|>'
    return f"<|open|>tools<|sep|>{call}<|close|>tools<|sep|><|close|>message<|sep|>"


@dataclass(frozen=True)
class Dialect:
    """How one family writes a call."""

    write: Callable[[str, dict], str]
    typed: bool = True
    """False: it writes values bare, so a text that reads as a value of another type cannot be told from it."""
    bare: bool = False
    """True: no mark says that a call follows."""


DIALECTS = {
    "hermes": Dialect(lambda n, a: f"<tool_call>\n{as_object(n, a)}\n</tool_call>"),
    "hermes_python": Dialect(lambda n, a: f"<tool_call>\n{ {'name': n, 'arguments': a}!r}\n</tool_call>"),
    "hermes_unclosed": Dialect(lambda n, a: f"<tool_call>\n{as_object(n, a)}"),
    "hermes_fenced": Dialect(lambda n, a: f"<tool_call>\n```json\n{as_object(n, a)}\n```\n</tool_call>"),
    "tool_calls_list": Dialect(lambda n, a: f"<tool_calls>[{as_object(n, a)}]</tool_calls>"),
    "nemotron": Dialect(lambda n, a: f"<TOOLCALL>[{as_object(n, a)}]</TOOLCALL>"),
    "granite": Dialect(lambda n, a: f"<|tool_call|>[{as_object(n, a)}]"),
    "granite_20b": Dialect(lambda n, a: f"<function_call> {as_object(n, a)}"),
    "glaive": Dialect(lambda n, a: f"<functioncall> {dumps({'name': n, 'arguments': dumps(a)})}"),
    "longcat": Dialect(lambda n, a: f"<longcat_tool_call>{as_object(n, a)}</longcat_tool_call>"),
    "llama3_json": Dialect(lambda n, a: as_object(n, a, ("name", "parameters")), bare=True),
    "llama3_tag": Dialect(lambda n, a: f"<|python_tag|>{as_object(n, a, ('name', 'parameters'))}<|eom_id|>"),
    "llama3_function": Dialect(lambda n, a: f"<function={n}>{dumps(a)}</function>"),
    "llama4": Dialect(lambda n, a: f"<|python_start|>[{n}({keywords(a)})]<|python_end|>"),
    "pythonic": Dialect(lambda n, a: f"[{n}({keywords(a)})]", bare=True),
    "lfm2": Dialect(lambda n, a: f"<|tool_call_start|>[{n}({keywords(a)})]<|tool_call_end|>"),
    "olmo3": Dialect(lambda n, a: f"<function_calls>\n{n}({keywords(a)})\n</function_calls>"),
    "gemma3": Dialect(lambda n, a: f"```tool_code\n{n}({keywords(a)})\n```"),
    "gemma4": Dialect(lambda n, a: f"<|tool_call>call:{n}{gemma(a)}<tool_call|>"),
    "functiongemma": Dialect(lambda n, a: f"<start_function_call>call:{n}{gemma(a, '<escape>')}<end_function_call>"),
    "mistral_list": Dialect(lambda n, a: f"[TOOL_CALLS] [{as_object(n, a)}]"),
    "mistral_args": Dialect(lambda n, a: f"[TOOL_CALLS]{n}[ARGS]{dumps(a)}"),
    "mistral_id": Dialect(lambda n, a: f"[TOOL_CALLS]{n}[CALL_ID]bbc5b7ede[ARGS]{dumps(a)}"),
    "mistral_braces": Dialect(lambda n, a: f"[TOOL_CALLS]{n}{dumps(a)}"),
    "lm_studio": Dialect(lambda n, a: f"[TOOL_REQUEST]{as_object(n, a)}[END_TOOL_REQUEST]"),
    "deepseek_v3": Dialect(
        lambda n, a: (
            f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>{n}\n"
            f"```json\n{dumps(a)}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        )
    ),
    "deepseek_v31": Dialect(
        lambda n, a: (
            f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{n}<｜tool▁sep｜>{dumps(a)}"
            "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        )
    ),
    "deepseek_v32": Dialect(dsml),
    "deepseek_v4": Dialect(lambda n, a: dsml(n, a, section="tool_calls")),
    "deepseek_v41": Dialect(lambda n, a: dsml(n, a, space="｜DSML｜ ", section="calls")),
    "kimi_k2": Dialect(
        lambda n, a: (
            f"<|tool_calls_section_begin|><|tool_call_begin|>functions.{n}:0<|tool_call_argument_begin|>"
            f"{dumps(a)}<|tool_call_end|><|tool_calls_section_end|>"
        )
    ),
    "kimi_k3": Dialect(kimi_k3),
    "harmony": Dialect(
        lambda n, a: (
            f"<|channel|>analysis<|message|>I call {n}. Next: conclusion.<|end|><|start|>assistant"
            f"<|channel|>commentary to=functions.{n} <|constrain|>json<|message|>{dumps(a)}<|call|>"
        )
    ),
    "harmony_recipient_first": Dialect(
        lambda n, a: (
            f"<|start|>assistant to=functions.{n}<|channel|>commentary <|constrain|>json<|message|>{dumps(a)}<|call|>"
        )
    ),
    "harmony_stripped": Dialect(lambda n, a: f"commentary to=functions.{n} json{dumps(a)}"),
    "qwen_coder": Dialect(qwen_coder, typed=False),
    "seed": Dialect(lambda n, a: qwen_coder(n, a, "seed:"), typed=False),
    "minimax_m2": Dialect(lambda n, a: f"<minimax:tool_call>\n{invoke(n, a)}</minimax:tool_call>", typed=False),
    "minimax_m1": Dialect(lambda n, a: f"<tool_calls>\n{as_object(n, a)}\n</tool_calls>"),
    "invoke": Dialect(lambda n, a: f"<function_calls>\n{invoke(n, a)}</function_calls>", typed=False),
    "step3": Dialect(
        lambda n, a: (
            f"<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>{invoke(n, a, 'steptml:')}"
            "<｜tool_call_end｜><｜tool_calls_end｜>"
        ),
        typed=False,
    ),
    "glm45": Dialect(glm, typed=False),
    "glm47": Dialect(lambda n, a: glm(n, a, ""), typed=False),
    "internlm": Dialect(
        lambda n, a: f"<|action_start|><|plugin|>\n{as_object(n, a, ('name', 'parameters'))}<|action_end|>"
    ),
    "cohere": Dialect(
        lambda n, a: f"<|START_ACTION|>[{dumps({'tool_call_id': '0', 'tool_name': n, 'parameters': a})}]<|END_ACTION|>"
    ),
    "cohere_command_r": Dialect(lambda n, a: f"Action: ```json\n[{dumps({'tool_name': n, 'parameters': a})}]\n```"),
    "apertus": Dialect(lambda n, a: f"<|tools_prefix|>[{dumps({n: a})}]<|tools_suffix|>"),
    "phi4": Dialect(lambda n, a: f"<|tool_call|>[{as_object(n, a)}]<|/tool_call|>"),
    "phi4_functools": Dialect(lambda n, a: f"functools[{as_object(n, a)}]"),
    "xlam": Dialect(lambda n, a: f"[{as_object(n, a)}]", bare=True),
    "functionary_v32": Dialect(lambda n, a: f">>>{n}\n{dumps(a)}"),
    "functionary_v2": Dialect(lambda n, a: f"<|recipient|>{n}\n<|content|>{dumps(a)}"),
    "qwen_agent": Dialect(lambda n, a: f"✿FUNCTION✿: {n}\n✿ARGS✿: {dumps(a)}"),
    "gigachat": Dialect(lambda n, a: f"function call<|role_sep|>\n{as_object(n, a)}"),
    "openai": Dialect(
        lambda n, a: dumps({"type": "function", "function": {"name": n, "arguments": dumps(a)}}), bare=True
    ),
    "openai_message": Dialect(
        lambda n, a: dumps({"tool_calls": [{"id": "x", "function": {"name": n, "arguments": a}}]}), bare=True
    ),
    "langchain": Dialect(lambda n, a: as_object(n, a, ("action", "action_input")), bare=True),
    "fenced": Dialect(lambda n, a: f"```json\n{as_object(n, a)}\n```", bare=True),
    "labels": Dialect(lambda n, a: f"Action: {n}\nAction Input: {dumps(a)}"),
    "labels_called": Dialect(lambda n, a: f"Action: {n}({dumps(a)})"),
    "labels_wide": Dialect(lambda n, a: f"Action：{n}\nAction Input：{dumps(a)}"),
}
REASONING = (
    "<think>{}</think>\n\n",
    "<thinking>\n{}\n</thinking>\n",
    "<thought>{}</thought>",
    "<reasoning>{}</reasoning>",
    "<seed:think>{}</seed:think>",
    "{}</think>\n",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<|inner_prefix|>{}<|inner_suffix|>",
    "<|channel>thought\n{}<channel|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "Here is my thought process: {} Here is my response: ",
    "[unused16]{}[unused17]",
)
"""Reasoning as families frame it, before what is said."""
