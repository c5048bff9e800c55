"""The online store in Redis and Valkey."""
