"""Audio files in and out: decode, encode, fetch."""
