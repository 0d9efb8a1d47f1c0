"""The web console: pages for the team that runs Polyport. They do what the API does, by the same endpoints."""
