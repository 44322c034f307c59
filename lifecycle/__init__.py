"""The life of an agent: states and transitions, signals, the persistence supervisor, restarts."""
