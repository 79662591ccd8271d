"""OpenAI-compatible endpoint of an agent: chat completions, responses and models over HTTP."""
