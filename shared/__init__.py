"""What agents share: one ledger, and the handles on it."""
