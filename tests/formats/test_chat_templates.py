"""Chat templates of checkpoints: system roles, tools and variables that a template has or has not."""

import pytest

from alpha_umi.errors import FormatError
from alpha_umi.formats.chat_templates import NO_TEMPLATE, ChatUse, render_chat, takes_tools, template_fault
from alpha_umi.types import Call, Message, ToolPrompt, ToolSpec
from support.tiny_models import tiny_tokenizer

PLAIN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
REFUSING = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAIN
DROPPING = PLAIN.replace("messages %}", "messages if m.role != 'system' %}")
TOOLS = (
    "{% if tools %}{% for t in tools %}[{{ t.function.name }}]{% endfor %}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}"
    "({{ c.function.name }} {{ c.function.arguments | tojson }} {{ c.id }}){% endfor %}"
    "{% if m.tool_call_id %}={{ m.tool_call_id }} {{ m.name }}{% endif %}{% endfor %}"
)
THINKING = PLAIN + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
SAID = (Message(role="system", content="Be brief."), Message(role="user", content="Hi"))


def tokenizer(template):
    made = tiny_tokenizer()
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (PLAIN, "<system>Be brief.<user>Hi<assistant>"),
        (REFUSING, "<user>Be brief.\n\nHi<assistant>"),
        (DROPPING, "<user>Be brief.\n\nHi<assistant>"),
    ],
)
def test_a_template_without_a_system_role_gets_it_in_the_first_message_of_the_user(template, text):
    assert render_chat(tokenizer(template), SAID) == text


AS_JSON = {
    "whole messages": "{{ messages | tojson }}",
    "contents": "{% for m in messages %}<|{{ m.role }}|>{{ m.content | tojson }}{% endfor %}",
    "lines": (
        "{% for m in messages %}<{{ m.role }}>{% for line in m.content.split('\n') %}> {{ line | trim }}\n{% endfor %}"
        "{% endfor %}"
    ),
    "one line": "{% for m in messages %}{{ m.role }}: {{ m.content | replace('\n', ' ') }}\n{% endfor %}",
    "escaped": "{% for m in messages %}{{ m.role | upper }}({{ m.content | e }}){% endfor %}",
    "before the last message": (
        "{% set s = messages[0].content if messages[0].role == 'system' else '' %}{% for m in messages %}"
        "{% if m.role != 'system' %}[INST]{% if loop.last and s %}{{ s | tojson }} {% endif %}"
        "{{ m.content }}[/INST]{% endif %}{% endfor %}"
    ),
}
LEAVING_OUT = {
    "tools instead": DROPPING,
    "first user alone": "{% for m in messages if m.role == 'user' %}{{ m.content | tojson }}{% endfor %}",
    "words of its own": "{% if messages[0].role == 'system' %}<system>You are a helper.{% endif %}" + DROPPING,
}
HARD = 'Answer in "one" line.\n\n  Then <stop> & say \\ é天.'


@pytest.mark.parametrize("template", AS_JSON.values(), ids=AS_JSON)
def test_a_system_message_that_a_template_writes_in_its_own_way_stays_where_it_is(template):
    for system in (HARD, "Hi", "user"):
        messages = (Message(role="system", content=system), Message(role="user", content="Hi"))
        told = [{"role": each.role, "content": each.content} for each in messages]
        expected = tokenizer(template).apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        assert render_chat(tokenizer(template), messages) == expected


@pytest.mark.parametrize("template", LEAVING_OUT.values(), ids=LEAVING_OUT)
def test_a_system_message_that_a_template_leaves_out_is_told_by_the_user(template):
    for system in (HARD, "Hi", "You are a helper."):
        messages = (Message(role="system", content=system), Message(role="user", content=f"{system} Hi"))
        folded = (Message(role="user", content=f"{system}\n\n{system} Hi"),)
        assert render_chat(tokenizer(template), messages) == render_chat(tokenizer(template), folded)


def test_a_template_that_fails_says_why():
    with pytest.raises(FormatError, match="cannot render these messages: not today"):
        render_chat(tokenizer("{{ raise_exception('not today') }}"), SAID)


def test_tools_calls_and_what_they_answer_are_rendered():
    tool = ToolSpec(name="add", description="Adds.")
    messages = (
        Message(role="user", content="2 + 2?"),
        Message(role="assistant", content="", calls=(Call(name="add", arguments='{"a": 2}'),)),
        Message(role="tool", content="4"),
    )
    text = render_chat(tokenizer(TOOLS), ToolPrompt(messages=messages, tools=(tool,)))
    assert text == '[add]<user>2 + 2?<assistant>(add {"a": 2} call00000)<tool>4=call00000 add'


@pytest.mark.parametrize(("template", "takes"), [(TOOLS, True), (PLAIN, False), (REFUSING, False)])
def test_rendering_tells_whether_a_template_takes_tools(template, takes):
    assert takes_tools(tokenizer(template)) is takes


def test_variables_reach_the_template():
    assert (
        render_chat(tokenizer(THINKING), SAID[1:], {"enable_thinking": False}) == "<user>Hi<assistant><think></think>"
    )
    assert render_chat(tokenizer(THINKING), SAID[1:], {"enable_thinking": True}) == "<user>Hi<assistant>"


@pytest.mark.parametrize(
    ("template", "use", "fault"),
    [
        (None, ChatUse(messages=True), NO_TEMPLATE),
        (None, ChatUse(), None),
        (PLAIN, ChatUse(messages=True), None),
        (PLAIN, ChatUse(messages=True, tools=True), "its chat template shows no tools"),
        (TOOLS, ChatUse(messages=True, tools=True), None),
        (PLAIN, ChatUse(messages=True, settings={"enable_thinking": False}), "no variable 'enable_thinking'"),
        (THINKING, ChatUse(messages=True, settings={"enable_thinking": False}), None),
    ],
)
def test_what_a_template_cannot_do_is_said(template, use, fault):
    said = template_fault(tokenizer(template), use)
    assert said is None if fault is None else fault in (said or "")
