"""Agents that think: runs of language models, durable step by step, and the tools they use."""
