"""What tests of all folders use: deadlines, threads, gates, stores, signals, children."""
