"""Agents as tools of MCP, and tools of its servers for agents that think."""
