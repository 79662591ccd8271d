"""Prompts outside the agent formats: judging, API simulation, search hints, retrieval documents."""
