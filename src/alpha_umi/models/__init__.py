"""Models: whatever completes prompts, here or behind an endpoint."""
