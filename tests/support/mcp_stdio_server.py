"""A server of MCP's handshake era over stdio in plain Python, which starts fast and misbehaves when asked to."""

import json
import os
import sys

INTEGER = {"type": "integer"}
TOOLS = {
    "add": {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}, "required": ["a", "b"]},
    **{name: {"type": "object", "properties": {}} for name in ("count", "die", "hang", "grow", "refuse")},
}
calls = 0


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def said(text):
    return {"content": [{"type": "text", "text": str(text)}]}


def called(name, arguments):
    global calls
    calls += 1
    if name == "die":
        os._exit(3)
    if name == "grow":
        TOOLS["grown"] = TOOLS["count"]
        send(method="notifications/tools/list_changed")
    if name == "refuse":
        return {**said("not today"), "isError": True}
    return said(sum(arguments.values()) if name == "add" else calls)


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "plain", "version": "1"},
        }
    if method == "tools/list":
        return {"tools": [{"name": name, "description": f"To {name}.", "inputSchema": TOOLS[name]} for name in TOOLS]}
    return called(params["name"], params.get("arguments") or {})


for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or (message["method"] == "tools/call" and message["params"]["name"] == "hang"):
        continue
    if message["method"] in ("initialize", "tools/list", "tools/call"):
        send(id=message["id"], result=answer(message["method"], message.get("params")))
    else:
        send(id=message["id"], error={"code": -32601, "message": "no such method"})
