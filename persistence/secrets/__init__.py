"""Secret values are sealed, pickled ones signed; keys for both, and the search for leaks.

``secret`` and ``pickled`` are the types of fields; ``keys`` are the providers of keys; ``sealer``
and ``signer`` do the cryptography; ``vault`` holds both for one system; ``codec`` joins them to
the encoding of values; ``masking`` hides tokens in views; ``detector`` finds secrets that were put
into plain fields.
"""
