"""The process that runs one script: an engine, closed in, that can only ask its host.

Nothing here imports perdure: a worker starts in milliseconds and holds nothing of its host.
"""
