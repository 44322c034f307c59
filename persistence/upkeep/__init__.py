"""Keep a store sound: examined, repaired, taken back to a good version, trimmed."""
