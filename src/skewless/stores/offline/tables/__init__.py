"""Tables that sources read: one file each."""
