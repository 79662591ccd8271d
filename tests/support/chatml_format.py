"""Formats whose frame is written with the control tokens of model families, as documents."""

CHATML_TEMPLATE = {
    "name": "chatml",
    "templates": {
        role: f"<|im_start|>system\n{{doc}}{{tool_names}}<|im_end|>\n{{history}}<|im_start|>{role}\n{{thought}}"
        for role in ("planner", "caller", "summarizer", "backbone")
    },
    "suffixes": {"planner": "", "caller": "", "summarizer": "", "backbone": ""},
    "turns": {
        kind: f"<|im_start|>{kind}\n{{text}}<|im_end|>\n"
        for kind in ("user", "planner", "caller", "observation", "summarizer")
    },
    "decision_marks": {"call": "\nNext: caller.", "conclude": "\nNext: conclusion.", "give_up": "\nNext: give up."},
    "target_end": "<|im_end|>",
    "backbone_turns": {
        "user": "<|im_start|>user\n{text}<|im_end|>\n",
        "step": "<|im_start|>assistant\n{target}<|im_end|>\n",
        "observation": "<|im_start|>tool\n{text}<|im_end|>\n",
        "target": {
            "call": "{thought}\n{call}",
            "conclude": "{thought}\nconclusion: {answer}",
            "give_up": "{thought}\nconclusion: give up.",
        },
    },
}
CHATML_REACT = {
    "kind": "react",
    "name": "chatml-react",
    "end": "<|im_end|>",
    "template": "<s><|im_start|>system\n{tools} {tool_names}<|im_end|>\n{history}<|im_start|>assistant\n",
    "turns": {
        "user": "<|im_start|>user\n{text}<|im_end|>\n",
        "step": "<|im_start|>assistant\n{text}</s><|im_end|>\n",
        "observation": "[INST]{text}[/INST]<|start_header_id|>tool<|eot_id|>\n",
    },
}
