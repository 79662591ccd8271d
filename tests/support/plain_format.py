"""A template format in words of our own, as a document."""

PLAIN = {
    "name": "plain",
    "templates": {
        "planner": "Tools:\n{doc}So far:\n{history}\nWhat is next?",
        "caller": "Tools:\n{doc}So far:\n{history}\nIdea: {thought}\nCall one of {tool_names}.",
        "summarizer": "So far:\n{history}\nAnswer.",
        "backbone": "Tools:\n{doc}So far:\n{history}\nGo on with {tool_names}.",
    },
    "suffixes": {"planner": " P:", "caller": " C:", "summarizer": " S:", "backbone": " B:"},
    "turns": {
        "user": "U: {text}\n",
        "planner": "P: {text}\n",
        "caller": "C: {text}\n",
        "observation": "O: {text}\n",
        "summarizer": "S: {text}\n",
    },
    "decision_marks": {"call": "[call]", "conclude": "[answer]", "give_up": "[stop]"},
    "target_end": "<end>",
    "backbone_turns": {
        "user": "U: {text}\n",
        "step": "B: {target}\n",
        "observation": "O: {text}\n",
        "target": {
            "call": "{thought}\n{call}",
            "conclude": "{thought}\nanswer: {answer}",
            "give_up": "{thought}\nstop",
        },
    },
}
PLAIN_REACT = {
    "kind": "react",
    "name": "other",
    "end": "</s>",
    "template": "Use {tools}\n{history} Me:",
    "turns": {"user": " You: {text}\n", "step": " Me: {text}</s>", "observation": " Tool: {text}\n"},
    "thought": "\nThought: ",
    "tools": "python",
    "finish": {},
}
