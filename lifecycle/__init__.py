"""The life of agents: statuses, signals, failed saves, restarts, groups, the clock."""
