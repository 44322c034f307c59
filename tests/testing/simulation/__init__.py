"""Tests of the simulation, and with it of perdure."""
