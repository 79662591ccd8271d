"""MCP server of an agent, of tools, and of retrieval over a tool corpus."""
