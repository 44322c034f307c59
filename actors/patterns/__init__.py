"""Patterns of sharing, durable and part of the turn: topics, pipelines, requests, documents."""
