"""What httpx and httpx2 have in common, for which it imports neither."""
