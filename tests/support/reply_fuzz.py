"""Random replies: calls in every dialect with words and reasoning around them, and texts that were damaged."""

import json
from dataclasses import dataclass

from alpha_umi.formats.chat import ChatFormat
from alpha_umi.formats.load import load_format
from alpha_umi.formats.native import Ending, NativeFormat, write_reply
from alpha_umi.formats.react import ReActFormat
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import Answer, Call, FinishReason, Plan, Role
from support.dialects import DIALECTS, REASONING
from support.plain_format import PLAIN, PLAIN_REACT

CHAT, REACT, NATIVE = ChatFormat(), ReActFormat(), NativeFormat()
FORMATS = {
    "chat": (CHAT, FORMAT_ROLES),
    "react": (REACT, (Role.BACKBONE,)),
    "published react": (load_format(PLAIN_REACT), (Role.BACKBONE,)),
    "native": (NATIVE, (Role.BACKBONE,)),
    "native-finish": (NativeFormat(ending=Ending.FINISH), (Role.BACKBONE,)),
    "shared": (SharedFormat(), FORMAT_ROLES),
    "template": (load_format(PLAIN), FORMAT_ROLES),
}
NAMES = ("lookup", "get_weather", "search.web", "forecast_for_skyline", "a1", "get-time")
KEYS = ("city", "days", "q", "opts", "unit")
TEXTS = (
    *(
        "Oslo",
        "São Paulo",
        "東京",
        "a b",
        "it's",
        'say "hi"',
        "x\ny",
        "C:\\dir",
        "{}",
        "[1]",
        "<b>",
        "true",
        "5",
        "3.50",
    ),
    *("</parameter>", "</tool_call>", "<think>", "</think>", "[TOOL_CALLS]", "Action: x", "null", "", "é\u2028", "```"),
    *("'", "\\n", "🌸", "<|end|>", "Next: caller.", "conclusion: no", "02139", "1e5", "a, b: {c}", " padded "),
)
LETTERS = "abc \n\"'\\{}[]<>:,=é東`|"
BEFORE = ("", "I'll call the tool now.\n", "Here is the call:\n", "Sure!\n\n", "查询天气。\n", "One - two, (three).\n")
AFTER = ("", "\n", "\nLet me know.")
DRAFT = (
    "Maybe Next: caller.\nAction: wrong\nAction Input: {}\n"
    'or <tool_call>{"name": "wrong", "arguments": {}}</tool_call> conclusion: wrong'
)
"""What no reasoning may be read as."""
PIECES = (
    *("<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "<function=", "<parameter=", "</parameter>"),
    *("<think>", "</think>", "[THINK]", "<|channel|>analysis<|message|>", "<|end|>", "<|call|>", "Action:", "Next:"),
    *(
        "Action Input:",
        "conclusion:",
        "Finish",
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        '"',
        "'",
        "\\",
        ",",
        ":",
        "：",
        "```",
        "\n",
    ),
    *(
        '{"name": "x", "arguments": {"a": 1}}',
        "x(a=1)",
        "<arg_key>",
        "<arg_value>",
        "\0",
        "\ud800",
        "￿",
        "1e999",
        "[ARGS]",
    ),
)


@dataclass(frozen=True)
class Rendered:
    """A call as some dialect writes it, and the reply around it."""

    dialect: str
    name: str
    arguments: dict
    before: str
    text: str


def a_value(rng, depth=0):
    kind = rng.random()
    if kind < 0.55:
        free = "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 12)))
        return rng.choice((*TEXTS, free))
    if kind < 0.88 or depth > 1:
        return rng.choice((0, 1, -3, 42, 10**12, 2.5, -0.25, 1e-05, True, False, None))
    if kind < 0.94:
        return [a_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return {key: a_value(rng, depth + 1) for key in rng.sample(("a", "b c", "é"), rng.randint(0, 2))}


def is_told_by_text(value):
    """Whether a value that is written bare can be told from all others, and from the marks around it."""
    if not isinstance(value, str):
        return True
    if value in ("True", "False", "None") or value[:1] in ("{", "[") or value != value.strip("\n"):
        return False
    if "</parameter>" in value or "</arg_value>" in value:
        return False
    try:
        json.loads(value)
    except ValueError:
        return True
    return False


def a_call(rng, dialect):
    """Render a call in `dialect`, with words and perhaps reasoning before it."""
    arguments = {key: a_value(rng) for key in rng.sample(KEYS, rng.randint(0, 3))}
    if not DIALECTS[dialect].typed:
        arguments = {key: value for key, value in arguments.items() if is_told_by_text(value)}
    name, before = rng.choice(NAMES), rng.choice(BEFORE)
    ends_open = DIALECTS[dialect].bare or dialect in ("hermes_unclosed", "granite_20b", "glaive")
    text = before + DIALECTS[dialect].write(name, arguments) + ("" if ends_open else rng.choice(AFTER))
    frame = rng.choice(REASONING)
    channels = "harmony" in dialect or ("<|channel|>" in frame and DIALECTS[dialect].bare)
    if rng.random() < 0.4 and not channels:
        text = frame.replace("{}", DRAFT) + text
    return Rendered(dialect=dialect, name=name, arguments=arguments, before=before, text=text)


def readings(rendered):
    """The turns of a rendered call in every format that reads other dialects."""
    yield "chat caller", CHAT.parse(Role.CALLER, rendered.text)
    yield "chat backbone", CHAT.parse(Role.BACKBONE, rendered.text)
    yield "react", REACT.parse(Role.BACKBONE, rendered.text)
    if not rendered.dialect.startswith("labels") and rendered.dialect != "cohere_command_r":  # labels are no call there
        yield "native", NATIVE.parse(Role.BACKBONE, write_reply(rendered.text, []))


def misread(rendered):
    """Readings that are not exactly the call and the words before it."""
    wanted = json.dumps(rendered.arguments, sort_keys=True)
    for where, turns in readings(rendered):
        plans = [turn.thought.strip() for turn in turns if isinstance(turn, Plan)]
        calls = [turn for turn in turns if isinstance(turn, Call)]
        try:
            same = json.dumps(json.loads(calls[0].arguments), sort_keys=True) == wanted
        except (ValueError, IndexError):
            same = False
        if not same or calls[0].name != rendered.name or plans not in ([], [rendered.before.strip()]):
            yield where, turns


def damaged(rng, text):
    """Cut, doubled, shuffled or mixed text."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:end] + text[at:]
            case 2:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            case 3:
                text = text[:end]
            case 4:
                text = text[:at] + "".join(rng.sample(text[at:end], end - at)) + text[end:]
    return text


def untyped(rng, text):
    """Readings of a text, by any format, role and end, that are no turns of that role; none is right."""
    name = rng.choice(list(FORMATS))
    form, roles = FORMATS[name]
    role, finish = rng.choice(roles), rng.choice(list(FinishReason))
    reply = write_reply(text, []) if name.startswith("native") and rng.random() < 0.8 else text
    turns = form.parse(role, reply, finish)
    kinds = {Role.PLANNER: (Plan,), Role.CALLER: (Call,), Role.SUMMARIZER: (Answer,)}.get(role, (Plan, Call, Answer))
    if not turns or not all(isinstance(turn, kinds) for turn in turns):
        yield name, role, turns
    unread = any(isinstance(turn, Call) and not turn.name for turn in turns)  # may hold any marks
    whole = finish is FinishReason.STOP and name != "template" and not unread
    if whole and form.parse(role, form.write(role, turns)) != turns:
        yield f"{name}, written and read again", role, turns
