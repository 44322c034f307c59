"""What agents share: who sees what, and that nothing is lost."""
