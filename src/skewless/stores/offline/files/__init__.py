"""Files and file systems that tables and logs lie in."""
