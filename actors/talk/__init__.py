"""What one holds to talk to an agent, and what is said: references, messages, turns."""
