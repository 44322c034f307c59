"""Agents that think, with models that follow scripts."""
