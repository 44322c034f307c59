"""What each command does: look into a store, or change what is in it."""
