"""Environment of the tools of Model Context Protocol (MCP) servers."""
