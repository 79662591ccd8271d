"""One dialogue in the shape of every public data set: a thought where the shape has a place for it, call, answer."""

import json

ARGUMENTS = {"city": "Málaga", "days": 2}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "which city"}, "days": {"type": "integer"}},
    "required": ["city"],
}
FUNCTION = {"name": "sky_of", "description": "Sky over a city.", "parameters": SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
QUERY, THOUGHT, SEEN, SAID = "Sky in Málaga?", "I look it up.", '{"sky": "clear"}', "It is clear."
CALL = {"name": "sky_of", "arguments": ARGUMENTS}
CALL_TEXT = json.dumps(CALL, ensure_ascii=False)


def user(text=QUERY):
    return {"role": "user", "content": text}


def calling(*calls, content=THOUGHT):
    entries = [{"id": f"c{n}", "type": "function", "function": {**call}} for n, call in enumerate(calls)]
    for entry in entries:
        entry["function"]["arguments"] = json.dumps(entry["function"]["arguments"], ensure_ascii=False)
    return {"role": "assistant", "content": content, "tool_calls": entries}


OPENAI = {
    "messages": [
        user(),
        calling(CALL),
        {"role": "tool", "tool_call_id": "c0", "content": SEEN},
        {"role": "assistant", "content": SAID},
    ],
    "tools": TOOLS,
}
SWIFT = {
    "tools": json.dumps(TOOLS),
    "messages": [
        user(),
        {"role": "assistant", "content": THOUGHT},
        {"role": "tool_call", "content": CALL_TEXT},
        {"role": "tool_response", "content": SEEN},
        {"role": "assistant", "content": SAID},
    ],
}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": QUERY},
        {"from": "function_call", "value": f"<think>\n{THOUGHT}\n</think>\n\n{CALL_TEXT}"},
        {"from": "observation", "value": SEEN},
        {"from": "gpt", "value": SAID},
    ],
    "system": "",
    "tools": json.dumps([FUNCTION]),
}
HERMES = {
    "conversations": [
        {"from": "system", "value": f"Use <tools></tools>. <tools>\n{json.dumps(TOOLS)}\n</tools> as <tool_call>."},
        {"from": "human", "value": QUERY},
        {"from": "gpt", "value": f"{THOUGHT}\n<tool_call>\n{CALL_TEXT}\n</tool_call>"},
        {"from": "tool", "value": f"<tool_response>\n{SEEN}\n</tool_response>"},
        {"from": "gpt", "value": SAID},
    ]
}
QWEN = {
    "messages": [
        {"role": "system", "content": f"# Tools\n<tools>\n{json.dumps(TOOLS[0])}\n</tools>"},
        user(),
        {"role": "assistant", "content": f"{THOUGHT}\n<tool_call>\n{CALL_TEXT}\n</tool_call>"},
        user(f"<tool_response>\n{SEEN}\n</tool_response>"),
        {"role": "assistant", "content": SAID},
    ]
}
TOOLLLAMA = {
    "id": "Step 4: Sky in Málaga?",
    "conversations": [
        {"from": "system", "value": f"You are AutoGPT [1]. You have access to: {[FUNCTION, {'name': 'Finish'}]}"},
        {"from": "user", "value": f"\n{QUERY}\nBegin!\n"},
        {
            "from": "assistant",
            "value": f"\nThought: {THOUGHT}\nAction: sky_of\nAction Input: {json.dumps(ARGUMENTS, ensure_ascii=False)}",
        },
        {"from": "function", "value": json.dumps({"error": "", "response": SEEN})},
        {
            "from": "assistant",
            "value": "\nThought: \nAction: Finish\nAction Input: "
            + json.dumps({"return_type": "give_answer", "final_answer": SAID}),
        },
    ],
}
TOOLACE = {
    "system": f"You may invoke:\n{json.dumps([FUNCTION])}\nPut it as [f(a=b)].",
    "conversations": [
        {"from": "user", "value": QUERY},
        {"from": "assistant", "value": '[sky_of(city="Málaga", days=2)]'},
        {"from": "tool", "value": json.dumps([{"name": "sky_of", "results": {"sky": "clear"}}])},
        {"from": "assistant", "value": SAID},
    ],
}
XLAM = {
    "id": 7,
    "query": QUERY,
    "answers": json.dumps([CALL]),
    "tools": json.dumps(
        [
            {
                "name": "sky_of",
                "description": "Sky over a city.",
                "parameters": {
                    "city": {"type": "string", "description": "which city"},
                    "days": {"type": "integer, optional"},
                },
            }
        ]
    ),
}
TOOLALPACA = {
    "Name": "Skies",
    "Function_Description": {
        "sky_of": 'Sky over a city.\nParameters: {"city": "Required. string. which city", "days": "integer. "}',
        "components": "",
    },
    "Instructions": [QUERY],
    "Instances": [
        {
            "input": QUERY,
            "intermediate_steps": [
                [
                    [
                        "sky_of",
                        json.dumps(ARGUMENTS, ensure_ascii=False),
                        f" {THOUGHT}\nAction: sky_of\nAction Input: {{}}",
                    ],
                    SEEN,
                ]
            ],
            "Final Thought": "",
            "output": SAID,
        }
    ],
}
PROCESSED = {
    "tools": json.dumps([{"Name": "sky_of", "function": "Sky over a city.", "input": {"city": "string, which city"}}]),
    "instruction": QUERY,
    "conversations": [
        {"from": "user", "value": QUERY},
        {"from": "assistant", "value": f"{THOUGHT}Next: caller."},
        {
            "from": "caller",
            "value": f"Action: sky_of\nAction Input: {json.dumps(ARGUMENTS, ensure_ascii=False)}",
        },
        {"from": "observation", "value": SEEN},
        {"from": "assistant", "value": "Next: conclusion."},
        {"from": "conclusion", "value": SAID},
    ],
}
ROWS = {
    "openai": OPENAI,
    "swift": SWIFT,
    "sharegpt": SHAREGPT,
    "hermes": HERMES,
    "toolllama": TOOLLLAMA,
    "toolace": TOOLACE,
    "xlam": XLAM,
    "toolalpaca": TOOLALPACA,
    "processed": PROCESSED,
}
