"""Orders, stock and payments with a flaky bank, and the complete lifecycle tests of them."""
