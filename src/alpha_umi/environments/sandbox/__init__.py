"""Sandbox for programs that models write: confined worker processes, and the Python tool over them."""
