"""Agents as tools of the Model Context Protocol: what is served of them, and over what."""
