"""Automatic evaluation by a judge after ToolEval: answer conversion, decision flow, votes, pass rates and win rates."""
