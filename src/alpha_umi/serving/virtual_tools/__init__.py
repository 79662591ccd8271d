"""A virtual ToolBench: the tool service's protocol, answered from a replay cache, else by a simulator."""
