"""Our side of the work: the same turns, written as a user would write them."""
