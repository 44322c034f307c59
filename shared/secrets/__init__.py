"""What a system does about its secrets while it runs: sealing them again with a newer key."""
