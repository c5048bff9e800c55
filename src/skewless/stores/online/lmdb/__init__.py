"""The online store in LMDB."""
