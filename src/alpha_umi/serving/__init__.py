"""Servers. Each room is one protocol; whoever asks is another program."""
