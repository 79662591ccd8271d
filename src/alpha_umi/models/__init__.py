"""Text generators (protocols.Model): local, behind an endpoint, or scripted."""
