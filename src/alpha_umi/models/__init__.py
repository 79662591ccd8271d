"""Text generators behind `protocols.Model`: replayed, local, or at an endpoint."""
