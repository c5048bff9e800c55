"""Who may read what: pure rules that plans and servers apply."""
