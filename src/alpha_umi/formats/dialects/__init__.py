"""Dialects of tool calls and of reasoning that models are trained to write; read here and nowhere else."""
