"""What the documents in ``docs/`` are made from, and whether they still hold."""
