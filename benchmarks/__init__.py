"""Measure perdure beside its peers, on one machine, in one run: ``python -m benchmarks``.

How a figure comes about:

- A *measure* is one function, run in a child process of its own: a fresh interpreter, a fresh
  folder on the disk under test, the result as JSON on standard output (`child`).
- An *experiment* is a few measures that belong together. Its rounds are interleaved: ours, peer,
  peer, ours, peer, peer ..., so that a slow minute of the machine meets all of them (`runner`).
- A *row* is a figure made from an experiment: a value of ours, or its ratio to the fastest of a
  peer's set-ups. It carries the floor we promise and the aim we work towards (`rows`).

Where to look: ``peers/`` holds one file for each peer with the set-up that was chosen and why,
``ours/`` holds our side of the same work, ``rows/`` says what is compared with what.
"""
