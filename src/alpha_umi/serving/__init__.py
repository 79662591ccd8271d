"""Servers, one package per protocol."""
