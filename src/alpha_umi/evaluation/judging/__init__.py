"""Verdicts on rollouts after ToolEval: conversion, the decision flow, votes, aggregation. Values in, values out."""
