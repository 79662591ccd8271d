"""OpenAPI documents as tools: documents read, requests built, and an environment that sends them."""
