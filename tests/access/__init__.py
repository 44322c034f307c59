"""Tests of permissions, isolation and the audit."""
