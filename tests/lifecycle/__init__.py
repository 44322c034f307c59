"""Tests of the lifecycle layer, alone and through the agent system."""
