"""The online store in Bigtable."""
