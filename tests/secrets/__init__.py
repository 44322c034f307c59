"""Attacks on secrets and signatures."""
