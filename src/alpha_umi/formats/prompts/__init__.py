"""Prompts that are no agent format: judging, API simulation, search hints, retrieval documents."""
