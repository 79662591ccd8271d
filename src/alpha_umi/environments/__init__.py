"""Where tool calls are executed. Each module is one kind of place; none knows another."""
