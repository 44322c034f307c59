"""Tests of scripts: three languages, one host."""
