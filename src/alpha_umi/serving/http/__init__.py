"""HTTP server parts that every service shares: the bounded server, its guard, and bounded request bodies."""
