"""A store is kept sound and small: examined, repaired, taken back in time, trimmed."""
