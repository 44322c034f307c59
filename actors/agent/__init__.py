"""The class people subclass, and what a system knows of it."""
