"""Tests of the persistence layer, below the actors."""
