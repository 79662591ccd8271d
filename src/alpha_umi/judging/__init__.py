"""Judging after ToolEval: conversion, decision flow, votes, pass and win rates, and the runs that ask a judge."""
