"""Who is told of what is wrong, once, and when it is over."""
