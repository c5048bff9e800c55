"""Online stores: the newest state of every entity, as bytes by key."""
