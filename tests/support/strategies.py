"""Hypothesis strategies for the vocabulary; any text may be any text."""

from hypothesis import strategies as st

from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    StopReason,
    Task,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Usage,
    User,
)

texts = st.text(max_size=30)
names = st.from_regex(r"[a-z][a-z_]{0,12}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
argument_types = st.sampled_from(["string", "integer", "boolean", "DATE (YYYY-MM-DD)", "dict", "float", "str", ""])
arguments = st.fixed_dictionaries({"type": argument_types}, optional={"description": texts})
tools = st.builds(
    lambda name, description, properties: ToolSpec(
        name=name, description=description, parameters={"type": "object", "properties": properties}
    ),
    names,
    texts,
    st.dictionaries(names, arguments, max_size=3),
)
tasks = st.builds(
    lambda name, query, tools, metadata: Task(id=name, query=query, tools=tuple(tools), metadata=metadata),
    names,
    texts,
    st.lists(tools, max_size=3, unique_by=lambda tool: tool.name),
    st.dictionaries(names, json_values, max_size=2),
)
users = st.builds(lambda text: User(text=text), texts)
plans = st.builds(
    lambda thought, decision: Plan(thought=thought, decision=decision), texts, st.sampled_from(list(Decision))
)
calls = st.builds(lambda name, arguments: Call(name=name, arguments=arguments), names, texts)
observations = st.builds(
    lambda content, status: Observation(content=content, status=status), texts, st.sampled_from(list(ToolStatus))
)
answers = st.builds(lambda text: Answer(text=text), texts)
turns = st.one_of(users, plans, calls, observations, answers)
trajectories = st.builds(
    lambda task, turns, stop, tokens: Trajectory(
        task=task, turns=tuple(turns), stop=stop, usage=Usage(prompt_tokens=tokens)
    ),
    tasks,
    st.lists(turns, max_size=6),
    st.sampled_from(list(StopReason)),
    st.integers(0, 10**6),
)
