"""Artifacts: named, versioned bytes with their origin."""
