"""Moving states between stores: copy and mirror."""
