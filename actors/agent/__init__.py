"""The class that people subclass, what it declares, and what its handlers may use."""
