"""Tests of what agents share by pattern."""
